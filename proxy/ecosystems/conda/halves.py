"""An index read by two processes, this one from the front and another from the back.

Every table is cut between some of its members, all tables before the same file names. Each process
reads one stretch after the other until they meet, wherever that is: one may have other work too.
In an index that is sorted, as they are, nearly every package name is then with one of them alone.
The other process makes the rows and the shards of what it has read; what of it concerns the whole
is told as places in the text, which both have. Whatever stands in the way (a cut that was none, a
file that is there twice, a process that was killed) is no error: the index is then read by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from proxy.core.blocks import Block, is_run
from proxy.core.model import Index
from proxy.core.policy import Effect, Verdict
from proxy.core.rows import Table, build, head
from proxy.ecosystems.base import Aside, Claim
from proxy.ecosystems.conda import shards
from proxy.ecosystems.conda.batches import are_all, boundary, key_at
from proxy.ecosystems.conda.packing import Exports
from proxy.ecosystems.conda.reader import Part, Reader
from proxy.ecosystems.conda.sections import Section, Sections
from proxy.ecosystems.conda.shards import ByName, Piece, Shard
from proxy.ecosystems.conda.taking import Noted
from proxy.errors import BadIndex, StorageError

SHARES = 32
"""Stretches of each table. Of one the process that has none left has to wait for half."""

_NEAR = 1 << 10  # bytes up to which a search halves; members that are then looked at

Path = tuple[str, ...]
Stretch = Mapping[Path, slice]
"""What of each table is read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be read, and what shards are made of besides the records."""

    index: Index
    sections: Sections
    removed: Mapping[str, list[str]]
    exports: Exports


class _Told(msgspec.Struct):
    """What the other process says of its part of a table; texts are pairs of place and length."""

    hidden: list[tuple[str, str, str, str, int | None]]  # key, and the verdict
    kept: list[int]
    names: dict[str, list[int]]
    count: int
    spans: list[int]
    blocks: list[tuple[str, str, int]]  # the first and the last key, and the length
    noted: list[Noted] | None
    newest: bytes | None


def read(task: Task, reader: Reader, aside: Aside) -> Mapping[str, Shard] | None:
    """Read the sections with *reader*, some of them *aside*; None: it cannot be done so.

    Gives the shards that are done.
    """
    stretches = _stretches(task.sections)
    if stretches is None:
        return None
    back = list(reversed(stretches))
    claim, finish = aside(lambda claim: _second(task, reader, back, claim), shares=len(stretches))
    try:
        first = _joined(_read(task, reader, stretches, claim))
        mine = _shards(task, first)
    except BadIndex:  # told by who reads it alone
        mine = None
    finally:
        answer = finish()
    if mine is None or answer is None:
        return None
    try:
        return _whole(task, reader, first, mine, answer)
    except (BadIndex, StorageError):  # out of order, or not whole
        return None


def _read(
    task: Task, reader: Reader, stretches: Iterable[Stretch], claim: Claim
) -> list[dict[Path, Part]]:
    """What is in those of the *stretches* that are this process's. Raises BadIndex."""
    none = {path: reader.part(one, slice(0)) for path, one in task.sections.items()}
    found = [none]
    for stretch in stretches:
        if not claim():
            break
        found.append({path: reader.part(one, stretch[path]) for path, one in task.sections.items()})
    return found


def _joined(parts: Sequence[dict[Path, Part]]) -> dict[Path, Part]:
    """Parts that come one after the other."""
    first, *others = parts
    for other in others:
        for path, part in other.items():
            first[path].add(part)
    return first


def _second(
    task: Task, reader: Reader, stretches: Iterable[Stretch], claim: Claim
) -> Iterator[bytes | memoryview]:
    """All that the other process has read, from the back. Raises BadIndex."""
    parts = _joined(_read(task, reader, stretches, claim)[::-1])
    made = _shards(task, parts)
    told = msgspec.msgpack.encode([_told(part) for part in parts.values()])
    pack = list(build(shards.pack(made)))
    rows = [block.table for part in parts.values() for block in part.blocks]
    # A table of these three, which are not joined for it.
    yield head(["pack", "rows", "told"], (sum(map(len, pack)), sum(map(len, rows)), len(told)))
    yield from pack
    yield from rows
    yield told


def _shards(task: Task, parts: Mapping[Path, Part]) -> dict[str, Shard]:
    """The shards of what has been read of every table. Raises BadIndex."""
    if not all(is_run(part.blocks) for part in parts.values()):
        raise BadIndex("a key is there twice, or out of order")
    tables = {path: part.by_name for path, part in parts.items()}
    return shards.made(task.index, tables, task.removed, task.exports)


def _told(part: Part) -> _Told:
    names = {name: _places(pieces) for name, pieces in part.by_name.pieces.items()}
    hidden = [
        (key, one.effect.value, one.rule, one.reason, one.until) for key, one in part.hidden.items()
    ]
    return _Told(
        hidden=hidden,
        kept=_places(part.kept),
        names=names,
        count=part.count,
        spans=part.spans,
        blocks=[(one.first, one.last, len(one.table)) for one in part.blocks],
        noted=part.noted,
        newest=part.newest,
    )


def _places(pieces: Sequence[Piece]) -> list[int]:
    if any(piece.at < 0 for piece in pieces):
        raise BadIndex("a record has another text than the index")
    return [number for piece in pieces for number in (piece.at, len(piece.text))]


def _whole(
    task: Task,
    reader: Reader,
    first: Mapping[Path, Part],
    mine: Mapping[str, Shard],
    answer: memoryview,
) -> Mapping[str, Shard]:
    """What both have read together. Raises StorageError."""
    table = Table(answer)
    told = msgspec.msgpack.decode(_entry(table, "told"), type=list[_Told])
    done = shards.unpacked(Table(_entry(table, "pack")))
    rows = _entry(table, "rows")
    both = mine.keys() & done.keys()
    for (path, part), one in zip(first.items(), told, strict=True):
        second = _understood(task.sections[path], one, both)
        for low, high, length in one.blocks:
            second.blocks.append(Block(low, high, rows[:length]))
            rows = rows[length:]
        part.add(second)
        if not is_run(part.blocks):
            raise StorageError("the parts are not one after the other")
        if not are_all(task.sections[path].text, part.spans):
            raise StorageError("the parts are not all of the table")
    for path, part in first.items():
        reader.note(task.sections[path], part)
    made = {**mine, **done}
    return {n: one for n, one in made.items() if n not in both}


def _understood(section: Section, told: _Told, both: AbstractSet[str]) -> Part:
    """What is told of a part of *section*, but for its blocks; of its records those of the names
    that are in *both* parts.
    """
    text = section.text
    by_name = ByName(text, section.ending)
    by_name.add(
        (name, piece)
        for name in both & told.names.keys()
        for piece in _pieces(text, told.names[name])
    )
    hidden = {
        key: Verdict(effect=Effect(effect), rule=rule, reason=reason, until=until)
        for key, effect, rule, reason, until in told.hidden
    }
    return Part(
        by_name=by_name,
        hidden=hidden,
        kept=list(_pieces(text, told.kept)),
        spans=told.spans,
        count=told.count,
        noted=told.noted,
        newest=told.newest,
    )


def _pieces(text: memoryview, places: Sequence[int]) -> Iterator[Piece]:
    for at, length in zip(places[::2], places[1::2], strict=True):
        yield Piece(text[at : at + length], at)


def _entry(table: Table, key: str) -> memoryview:
    found = table.view(key)
    if found is None:
        raise StorageError(f"there is no {key}")
    return found


def _stretches(sections: Sections) -> list[Stretch] | None:
    """The tables in some stretches, cut before the same keys, if they are sorted; None: they
    cannot be cut.
    """
    if not sections or not all(one.is_plain for one in sections.values()):
        return None
    texts = {path: one.text for path, one in sections.items()}
    if any(bytes(text[:1]) != b"{" for text in texts.values()):
        return None
    largest = max(texts.values(), key=len)
    cuts = [dict.fromkeys(texts, 1)]
    for share in range(1, SHARES):
        place = boundary(largest, len(largest) * share // SHARES)
        key = None if place is None else key_at(largest, place)
        if place is None or key is None:
            continue
        cut = {p: place if text is largest else _before(text, key) for p, text in texts.items()}
        if all(cuts[-1][path] <= at for path, at in cut.items()):
            cuts.append(cut)
    if len(cuts) == 1:
        return None
    cuts.append({path: len(text) - 1 for path, text in texts.items()})
    return [{p: slice(start[p], stop[p]) for p in texts} for start, stop in pairwise(cuts)]


def _before(text: memoryview, key: str) -> int:
    """Where the members of a sorted table begin whose keys are not below *key*; a table that is not
    sorted is cut somewhere.
    """
    low, high = 1, len(text) - 1
    stem = key.rpartition(".")[0] or key
    while high - low > _NEAR:
        middle = boundary(text, (low + high) // 2)
        if middle is None or middle >= high:
            high = (low + high) // 2
        elif (key_at(text, middle) or "") < stem:
            low = middle
        else:
            high = middle
    for _ in range(_NEAR):
        if (key_at(text, low) or stem) >= stem:
            break
        low = boundary(text, low) or len(text) - 1
    return low
