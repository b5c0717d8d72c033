"""What an operator should hear of: kept, numbered, passed on; also from sibling processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proxy.observe.happenings import (
    KEPT,
    LONGEST,
    Happening,
    Happenings,
    Hearing,
    Sibling,
    Sort,
    collecting,
)


def _tell(hearing: Hearing, what: str, sort: Sort = Sort.REFUSAL) -> None:
    hearing.tell(sort, mirror="conda/lab", what=what, cause="rule", text="because")


def test_they_are_numbered_and_kept() -> None:
    happenings = Happenings(lambda: 5.0)
    _tell(happenings, "a")
    _tell(happenings, "b", Sort.INTEGRITY)
    first, second = happenings.since()
    assert (first.id, first.what, first.at, first.sort) == (1, "a", 5.0, Sort.REFUSAL)
    assert happenings.since(1) == [second]


def test_a_flood_of_one_kind_pushes_out_no_other() -> None:
    happenings = Happenings(lambda: 5.0)
    _tell(happenings, "wrong", Sort.INTEGRITY)
    for number in range(2 * KEPT):
        _tell(happenings, f"{number}")
    kept = happenings.since()
    assert kept[0].what == "wrong"
    assert len(kept) == KEPT + 1


def test_texts_are_cut() -> None:
    happenings = Happenings(lambda: 5.0)
    _tell(happenings, "x" * 100_000)
    assert len(happenings.since()[0].what) == LONGEST


def test_followers_hear_what_they_missed_and_what_is_new_until_the_end() -> None:
    happenings = Happenings(lambda: 5.0)
    for what in "abc":
        _tell(happenings, what)

    async def main() -> list[str]:
        heard: list[str] = []
        async for one in happenings.follow(1):
            heard.append(one.what)
            if one.what == "c":
                _tell(happenings, "d")
            if one.what == "d":
                happenings.close()
        return heard

    assert asyncio.run(main()) == ["b", "c", "d"]


def test_siblings_tell_the_one_that_keeps(tmp_path: Path) -> None:
    happenings = Happenings(lambda: 5.0)

    async def main() -> Happening:
        sibling = Sibling(tmp_path, lambda: 7.0)
        async with collecting(happenings, tmp_path):
            following = aiter(happenings.follow(0))
            _tell(sibling, "there")
            try:
                return await anext(following)
            finally:
                sibling.close()

    heard = asyncio.run(main())
    assert (heard.what, heard.at, heard.id) == ("there", 7.0, 1)


def test_where_nobody_listens_it_is_lost_without_a_word(tmp_path: Path) -> None:
    sibling = Sibling(tmp_path, lambda: 7.0)
    _tell(sibling, "lost")
    sibling.close()
