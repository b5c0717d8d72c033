"""An index read by two processes, each half of every table.

A table is cut between two of its members, all tables before the same file name, so that in an index
that is sorted, as they are, nearly every package name is in one half alone. The other process makes
the rows and the shards of its half; what of it concerns the whole is told as places in the text,
which both have. Whatever stands in the way (a cut that was none, a file that is there twice, a
process that was killed) is no error: the index is then read by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from proxy.core.blocks import Block, is_run
from proxy.core.model import Index
from proxy.core.policy import Effect, Verdict
from proxy.core.rows import Table, build, head
from proxy.ecosystems.base import Aside
from proxy.ecosystems.conda import shards
from proxy.ecosystems.conda.batches import boundary, key_at
from proxy.ecosystems.conda.packing import Exports
from proxy.ecosystems.conda.reader import Part, Reader
from proxy.ecosystems.conda.sections import Section, Sections
from proxy.ecosystems.conda.shards import Piece, Shard
from proxy.ecosystems.conda.taking import Noted
from proxy.errors import BadIndex, StorageError

_FIRST = 0.52  # of the text: the other process has its result to write as well
_NEAR = 1 << 10  # bytes up to which a search halves; members that are then looked at

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be read, and what shards are made of besides the records."""

    index: Index
    sections: Sections
    removed: Mapping[str, list[str]]
    exports: Exports


class _Told(msgspec.Struct):
    """What the other process says of its half of a table; texts are pairs of place and length."""

    hidden: list[tuple[str, str, str, str, int | None]]  # key, and the verdict
    kept: list[int]
    names: dict[str, list[int]]
    count: int
    spans: list[int]
    blocks: list[tuple[str, str, int]]  # the first and the last key, and the length
    noted: list[Noted] | None
    newest: bytes | None


def read(task: Task, reader: Reader, aside: Aside) -> Mapping[str, Shard] | None:
    """Read the sections with *reader*, half of them *aside*; None: it cannot be done so.

    Gives the shards that are done.
    """
    cuts = _cuts(task.sections)
    if cuts is None:
        return None
    finish = aside(lambda: _second(task, reader, cuts))
    try:
        first = {
            path: reader.part(one, slice(1, cuts[path])) for path, one in task.sections.items()
        }
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


def _second(task: Task, reader: Reader, cuts: Mapping[Path, int]) -> Iterator[bytes | memoryview]:
    """All of the other half. Raises BadIndex."""
    parts = {path: reader.part(one, slice(cuts[path], -1)) for path, one in task.sections.items()}
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
    """The shards of half of every table. Raises BadIndex."""
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
    """Both halves together. Raises StorageError."""
    table = Table(answer)
    told = msgspec.msgpack.decode(_entry(table, "told"), type=list[_Told])
    done = shards.unpacked(Table(_entry(table, "pack")))
    rows = _entry(table, "rows")
    for (path, part), second in zip(first.items(), told, strict=True):
        rows = _add_blocks(part, second, rows)
        _add(task.sections[path], part, second)
    for path, part in first.items():
        reader.note(task.sections[path], part)
    both = mine.keys() & done.keys()
    for (path, part), second in zip(first.items(), told, strict=True):
        text = task.sections[path].text
        names = both.intersection(second.names)
        part.by_name.add(
            (name, piece) for name in names for piece in _pieces(text, second.names[name])
        )
    made = {**mine, **done}
    return {n: one for n, one in made.items() if n not in both}


def _add_blocks(part: Part, second: _Told, rows: memoryview) -> memoryview:
    """Add the first of *rows*; gives the rest. Raises StorageError."""
    at = 0
    for first, last, length in second.blocks:
        part.blocks.append(Block(first, last, rows[at : at + length]))
        at += length
    if not is_run(part.blocks):
        raise StorageError("the halves are not one after the other")
    return rows[at:]


def _add(section: Section, part: Part, second: _Told) -> None:
    part.count += second.count
    part.spans += second.spans
    part.hidden |= {
        key: Verdict(effect=Effect(effect), rule=rule, reason=reason, until=until)
        for key, effect, rule, reason, until in second.hidden
    }
    part.kept += _pieces(section.text, second.kept)
    part.newest = part.newest or second.newest
    for one in [None] if second.noted is None else second.noted:
        part.note(one)


def _pieces(text: memoryview, places: Sequence[int]) -> Iterator[Piece]:
    for at, length in zip(places[::2], places[1::2], strict=True):
        yield Piece(text[at : at + length], at)


def _entry(table: Table, key: str) -> memoryview:
    found = table.view(key)
    if found is None:
        raise StorageError(f"there is no {key}")
    return found


def _cuts(sections: Sections) -> dict[Path, int] | None:
    """Where each table is cut: all before the same key, if they are sorted; None: not at all."""
    if not sections or not all(one.is_plain for one in sections.values()):
        return None
    texts = {path: one.text for path, one in sections.items()}
    if any(bytes(text[:1]) != b"{" for text in texts.values()):
        return None
    largest = max(texts.values(), key=len)
    middle = boundary(largest, int(len(largest) * _FIRST))
    key = None if middle is None else key_at(largest, middle)
    if middle is None or key is None:
        return None
    cuts = {path: _before(text, key) for path, text in texts.items()}
    return {path: middle if texts[path] is largest else cut for path, cut in cuts.items()}


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
