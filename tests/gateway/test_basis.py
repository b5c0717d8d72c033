"""What an answer rests on is noted, for the one who asks, and changes of it are told."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from proxy.core.digest import Digest
from proxy.core.freshness import Fresh, Miss
from proxy.core.model import Entry, Validators
from proxy.gateway.basis import Watched, gathered, holds_until, judged, rests_on_all_of, unsure
from proxy.storage.memory import MemoryCatalog
from proxy.storage.ports import Remembered

ONE = Entry(
    key="m one",
    digest=Digest("a" * 64),
    size=1,
    media_type="text/plain",
    source="",
    url="",
    validators=Validators(),
    checked_at=1000.0,
    fresh_for=60.0,
)
OTHER = replace(ONE, digest=Digest("b" * 64))

Told = list[tuple[str, Remembered | None]]


def watched() -> tuple[Watched, MemoryCatalog, Told]:
    catalog, told = MemoryCatalog(), list[tuple[str, Remembered | None]]()
    return Watched(catalog, lambda key, value: told.append((key, value))), catalog, told


def test_what_is_read_is_noted_and_nothing_is_without_anybody_gathering() -> None:
    async def main() -> None:
        one, catalog, _ = watched()
        await catalog.put(ONE)
        await one.get("m one")
        with gathered() as basis:
            assert one.peek("m absent") is None
            assert one.peek("m one") == ONE
            assert (basis.seen, basis.is_sound) == ({"m one": ONE}, True)
            await one.get("m absent")
        assert basis.seen == {"m one": ONE, "m absent": None}
        assert not basis.is_sound  # another process may add it
        await one.get("m two")
        assert len(basis.seen) == 2

    asyncio.run(main())


def test_what_tasks_read_that_are_begun_meanwhile_is_noted_too() -> None:
    async def main() -> None:
        one, catalog, _ = watched()
        await catalog.put(ONE)
        with gathered() as basis:
            await asyncio.create_task(one.get("m one"))
        with gathered() as another:
            pass
        assert basis.seen == {"m one": ONE}
        assert another.seen == {}

    asyncio.run(main())


def test_a_basis_stands_as_long_as_memory_has_the_very_values() -> None:
    async def main() -> None:
        one, catalog, _ = watched()
        await catalog.put(ONE)
        with gathered() as basis:
            await one.get("m one")
        assert one.still(basis)
        await catalog.put(OTHER)
        assert not one.still(basis)
        await catalog.forget(["m one"])
        assert not one.still(basis)

    asyncio.run(main())


def test_every_way_of_learning_of_a_value_is_told() -> None:
    async def main() -> None:
        one, catalog, told = watched()
        await one.put(ONE)
        assert told == [("m one", ONE), ("m", ONE)]  # the mirror has one more
        told.clear()
        await one.put(OTHER)
        assert told == [("m one", OTHER)]
        told.clear()
        await catalog.put(ONE)  # as another process does
        await one.get("m one")
        await one.get("m absent")
        await one.forget(["m one", "m absent"])
        assert told == [("m one", ONE), ("m absent", None), ("m one", None), ("m absent", None)]

    asyncio.run(main())


@pytest.mark.parametrize("method", ["keys", "digests"])
def test_what_depends_on_all_keys_is_unsure(method: str) -> None:
    async def main() -> None:
        one, _, _ = watched()
        with gathered() as basis:
            await getattr(one, method)("m ")
        assert not basis.is_sound

    asyncio.run(main())


def test_the_earliest_end_counts() -> None:
    with gathered() as basis:
        assert (basis.until, basis.is_sound) == (math.inf, True)
        holds_until(2000.0)
        judged(Fresh(entry=ONE, ttl=10.0))
        holds_until(3000.0)
        assert (basis.until, basis.is_sound) == (1060.0, True)
        rests_on_all_of("m")
        assert basis.mirrors == {"m"}
        judged(Miss())
        assert not basis.is_sound
    with gathered() as basis:
        unsure()
        assert not basis.is_sound
    holds_until(1.0)  # nobody gathers
    rests_on_all_of("m")
