"""What lies ready: bounded, reported as the flow reports, and gone when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.core.cache_status import CacheStatus
from proxy.core.digest import Digest
from proxy.core.model import Bounds, Entry, Validators
from proxy.gateway.answer import Counted
from proxy.gateway.basis import Basis
from proxy.web.heads import understand
from proxy.web.ready import JOINED, LASTS, Answers, Ready, Shelf, Template
from tests.gateway.world import HOST
from tests.lab.fake_upstream import FakeFile
from tests.web.twins import Twins, request, twins

NOW = 1_000_000.0
PATH = "/files/f/a.txt"
FILES: dict[str, FakeFile | bytes] = {
    f"{HOST}/tree/{name}.txt": FakeFile(body=name.encode() * 100, etag=f'"{name}"')
    for name in "abcdefgh"
}
ALWAYS = Bounds(fresh_default=1e6, fresh_max=1e6)


def visit(folder: Path, script: Callable[[Twins], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with twins(folder, FILES, bounds=ALWAYS, **options) as doors, asyncio.timeout(30):
            await script(doors)

    asyncio.run(main())


def template(*, counted: Counted | None = None, is_index: bool = False) -> Template:
    ttl = None if counted is None else counted.ttl(NOW)
    return Template(
        status_line=b"HTTP/1.1 200 OK\r\n",
        headers=(
            ("Cache-Control", "public, max-age=9"),
            ("Cache-Status", "pkgproxy; hit"),
            ("Age", "7"),
            ("Date", "then"),
        ),
        cache=CacheStatus.hit(ttl),
        counted=counted,
        is_index=is_index,
    )


def entry(key: str, digest: str = "a") -> Entry:
    return Entry(
        key=key,
        digest=Digest(digest * 64),
        size=1,
        media_type="text/plain",
        source="",
        url="",
        validators=Validators(),
        checked_at=NOW,
        fresh_for=60.0,
    )


def basis(*seen: Entry, until: float = NOW + 1000, mirrors: tuple[str, ...] = ()) -> Basis:
    return Basis(seen={one.key: one for one in seen}, mirrors=set(mirrors), until=until)


def ready(line: bytes, size: int = 10, among: Answers | None = None) -> Ready:
    return Ready(line, Answers() if among is None else among, template(), b"x" * size, None)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


# -- heads ---------------------------------------------------------------------------------


def test_a_head_moves_on_with_time_and_is_the_same_in_between() -> None:
    made = template(counted=Counted(NOW - 3.25, 63.0))
    head, until = made.at(NOW)
    assert b"Age: 3\r\n" in head
    assert b"ttl=59\r\n" in head
    assert b"Date: Mon, 12 Jan 1970 13:46:40 GMT\r\n" in head
    assert until == NOW + 0.75  # when a second of the lifetime, and of the age, is over
    assert made.at(NOW + 0.5) == (head, until)
    later, _ = made.at(NOW + 0.76)
    assert b"Age: 4\r\n" in later
    assert b"ttl=58\r\n" in later


def test_the_lifetime_of_an_index_counts_down() -> None:
    made = template(counted=Counted(NOW - 3, 63.5), is_index=True)
    assert b"max-age=60\r\n" in made.at(NOW)[0]
    assert b"Age: 7\r\n" in made.at(NOW)[0]
    assert b"max-age=59\r\n" in made.at(NOW + 1)[0]


def test_a_head_is_not_kept_while_a_wrong_clock_makes_lifetimes_grow() -> None:
    head, until = template(counted=Counted(NOW + 100, 200)).at(NOW)
    assert b"ttl=100\r\n" in head
    assert until == NOW


def test_what_changes_by_the_second_alone_holds_until_the_next_one() -> None:
    assert template().at(NOW + 0.25)[1] == NOW + 1


# -- the shelf -----------------------------------------------------------------------------


@pytest.mark.parametrize("until", [NOW + 10, NOW + 10 * LASTS])
def test_nothing_lies_ready_longer_than_it_holds_nor_when_the_clock_goes_back(
    until: float,
) -> None:
    clock = Clock()
    shelf, one = Shelf(clock), ready(b"a")
    shelf.put(one, basis(until=until))
    end = min(until, NOW + LASTS)
    assert one.renew(NOW)
    assert one.renew(end - 0.001)
    assert one.until <= end
    assert not one.renew(end)
    assert not one.renew(NOW - 0.001)


def test_what_has_no_time_left_is_not_taken() -> None:
    shelf = Shelf(Clock())
    shelf.put(ready(b"a"), basis(until=NOW))
    assert len(shelf) == 0
    assert shelf.size == 0


def test_a_change_takes_away_what_rests_on_it_and_nothing_else() -> None:
    shelf, (a, b) = Shelf(Clock()), (entry("m a"), entry("m b"))
    ones = [ready(b"1"), ready(b"2"), ready(b"3")]
    for one, seen in zip(ones, ((a,), (a, b), (b,)), strict=True):
        shelf.put(one, basis(*seen))
    shelf.changed("m a", entry("m a"))  # read again: the same
    shelf.changed("m c", None)
    assert len(shelf) == 3
    shelf.changed("m a", entry("m a", "b"))
    assert [one.line for one in ones if one.among] == [b"3"]
    shelf.changed("m b", None)
    assert (len(shelf), shelf.size) == (0, 0)


def test_an_answer_that_rests_on_all_of_a_mirror_goes_when_something_is_added_to_it() -> None:
    shelf = Shelf(Clock())
    shelf.put(ready(b"1"), basis(entry("m a"), mirrors=("m",)))
    shelf.put(ready(b"2"), basis(entry("m a")))
    before = shelf.mark("m"), shelf.mark("other")
    shelf.changed("m", entry("m new"))
    assert len(shelf) == 1
    assert shelf.mark("m") != before[0]
    assert shelf.mark("other") == before[1]


def test_everything_goes_when_everything_may_be_otherwise() -> None:
    shelf = Shelf(Clock())
    shelf.put(ready(b"1"), basis(entry("m a")))
    before = shelf.mark("m")
    shelf.clear()
    assert (len(shelf), shelf.size) == (0, 0)
    assert shelf.mark("m") != before


def test_another_answer_to_the_same_request_takes_the_place_of_the_first() -> None:
    shelf, among = Shelf(Clock()), Answers()
    first, second = ready(b"a", 10, among), ready(b"a", 20, among)
    shelf.put(first, basis(entry("m a")))
    shelf.put(second, basis(entry("m a", "b")))
    assert among == {b"a": second}
    assert shelf.size == second.size
    shelf.drop(first)
    assert len(shelf) == 1


def test_memory_is_bounded_and_what_is_asked_for_stays() -> None:
    told: list[tuple[int, int]] = []
    shelf = Shelf(Clock(), room=100_000, sized=lambda count, size: told.append((count, size)))
    popular = ready(b"popular", JOINED + 1)
    shelf.put(popular, basis(entry("m a")))
    for number in range(100):
        popular.given = True
        shelf.put(ready(b"%d" % number, number * 20), basis(entry("m a")))
        assert shelf.size <= 100_000
        assert told[-1] == (len(shelf), shelf.size)
    assert popular.among
    assert 5 < len(shelf) < 50
    shelf.put(ready(b"large", 200_000), basis(entry("m a")))
    assert shelf.size <= 100_000


def test_the_blocks_of_ever_new_clients_are_bounded_too() -> None:
    shelf = Shelf(Clock(), room=400_000)
    for number in range(1000):
        lines = request("GET", "/", {"Cookie": f"{number}"}).partition(b"\r\n")[2]
        assert shelf.met(b"\r\n" + lines) is not None
        assert shelf.size <= 50_000
    assert 10 < len(shelf.blocks) < 50


def test_a_block_is_what_its_headers_say_however_they_are_written() -> None:
    one, two, three = (
        understand(b"\r\n".join((b"", *lines, b"", b"")))
        for lines in (
            (b"Host: a", b"Accept: b", b"User-Agent: x"),
            (b"accept:b ", b"user-agent: y", b"HOST: c", b"Via: d"),
            (b"Accept: B", b"Host: a"),
        )
    )
    assert one is not None
    assert two is not None
    assert three is not None
    assert one.signature == two.signature != three.signature
    assert (one.agent, two.agent, three.agent) == ("x", "y", "")


# -- at the door ---------------------------------------------------------------------------


def test_it_is_reported_as_the_flow_reports(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        for name in ("a", "b", "absent"):
            await doors.slow.ask("GET", f"/files/f/{name}.txt")
            await doors.world.settled()
        before = doors.plain.samples()
        for client in (doors.fast, doors.slow):
            for _ in range(4):
                for method in ("GET", "HEAD"):
                    for headers in (
                        {"User-Agent": 'pip/26 {"a":"b"}'},
                        {"Range": "bytes=0-9"},
                        {"If-None-Match": '"a"', "User-Agent": "=x"},
                    ):
                        for path in ("a.txt", "b.txt", "b.txt?x=y", "%61.txt", "absent.txt"):
                            await client.ask(method, f"/files/f/{path}", headers)
        doors.hits.settle()
        assert doors.hits.given > 60
        after = doors.plain.samples()
        changes = {key: value - before.get(key, 0.0) for key, value in after.items()}
        assert {k: v for k, v in changes.items() if v} == {
            key: value for key, value in doors.quick.samples().items() if value
        }
        assert doors.quick.lines() == doors.plain.lines()[3:]

    visit(tmp_path, script)


def test_what_lies_ready_is_counted(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        for name in "abc":
            for _ in range(2):
                await doors.ask("GET", f"/files/f/{name}.txt")
        shown = doors.quick.metrics.exposition().decode()
        assert "pkgproxy_ready_answers 3.0" in shown
        assert f"pkgproxy_ready_bytes {float(doors.shelf.size)}" in shown
        doors.reload(None)
        assert "pkgproxy_ready_answers 0.0" in doors.quick.metrics.exposition().decode()

    visit(tmp_path, script)


def test_an_answer_is_for_all_agents_unless_it_depends_on_them(tmp_path: Path) -> None:
    varied = FakeFile(body=b"x", headers={"vary": "User-Agent"})

    async def script(doors: Twins) -> None:
        doors.world.upstream.files[f"{HOST}/tree/varied.txt"] = varied
        for path, for_all in ((PATH, True), ("/files/f/varied.txt", False)):
            for _ in range(2):
                await doors.ask("GET", path, {"User-Agent": "one"})
            assert await doors.is_ready("GET", path, {"User-Agent": "one"})
            assert await doors.is_ready("GET", path, {"User-Agent": "two"}) == for_all

    visit(tmp_path, script)


def test_after_a_while_the_flow_is_asked_again(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        for _ in range(2):
            await doors.ask("GET", PATH)
        doors.world.now += LASTS - 1
        assert await doors.is_ready("GET", PATH)
        doors.world.now += 1
        assert not await doors.is_ready("GET", PATH)
        assert await doors.is_ready("GET", PATH)

    visit(tmp_path, script)


def test_the_first_request_of_a_new_client_gets_what_lies_ready(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        for _ in range(2):
            await doors.ask("GET", PATH)
        await doors.fast.close()
        assert await doors.is_ready("GET", PATH, {"User-Agent": "never seen"})

    visit(tmp_path, script)


def test_what_does_not_fit_is_answered_by_the_flow(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        for _ in range(3):
            assert not await doors.is_ready("GET", PATH)
        assert doors.shelf.size <= 2000

    visit(tmp_path, script, room=2000)
