"""Which files an explanation is about: those of a name, or of what its wildcards stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import RequestError
from proxy.gateway.explaining import MOST, Question
from tests.gateway.world import NAME, PACKAGE, World, channel, play

TWO = {NAME: PACKAGE, "other-1.0-0.conda": b"other"}
INDEX = "linux-64/repodata.json"


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("thing", {"thing"}),
        ("thi*", {"thing"}),
        ("T?ing", {"thing"}),
        ("*", {"thing", "other"}),
        ("thi", set()),
        ("[t]hing*", set()),
    ],
)
def test_a_package_is_explained_by_its_name_or_a_part_of_it(
    tmp_path: Path, package: str, names: set[str]
) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", INDEX)
        question = Question(mirror=world.mirrors["conda/c"], policies=(None,), package=package)
        assert {one.name for one in await world.engine.explain(question)} == names

    play(tmp_path, script, channel(TWO))


def test_a_pattern_that_stands_for_too_many_is_refused(tmp_path: Path) -> None:
    many = {f"thing-{number}-0.conda": b"x" for number in range(MOST + 1)}

    async def script(world: World) -> None:
        await world.read("conda/c", INDEX)
        mirror = world.mirrors["conda/c"]
        with pytest.raises(RequestError, match="write more of the name"):
            await world.engine.explain(Question(mirror=mirror, policies=(None,), package="th*"))
        named = await world.engine.explain(
            Question(mirror=mirror, policies=(None,), package="thing")
        )
        assert len(named) == MOST + 1

    play(tmp_path, script, channel(many))
