"""The archive of old versions: Meta/archive.rds, which lists all of it, and its folders' pages.

What archive.rds hides, the pages hide, too, and the gate refuses. A file that is no package is
listed by neither.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape, unescape
from typing import Any
from urllib.parse import quote, unquote

from proxy.core.model import Index
from proxy.core.policy import Verdict
from proxy.core.rows import Row, Table, build, decode_row, encode_row
from proxy.ecosystems.base import ROWS, Body, Context, Rendered
from proxy.ecosystems.cran import paths, rds
from proxy.ecosystems.cran.judging import Candidate, Judging
from proxy.ecosystems.cran.packed import gzipped, unpacked
from proxy.ecosystems.cran.rds import LIST, STRING, Vector
from proxy.ecosystems.cran.rds_reader import read
from proxy.errors import BadIndex

_NUMBERS = {rds.REAL: ">d", rds.INTEGER: ">i"}
_LINK = re.compile(r"""<a\s[^<>]{0,500}?href\s*=\s*["']?([^"'\s<>?#]{1,500})""", re.IGNORECASE)


class Archived(Candidate):
    """A file in the archive, as policies look at it."""

    listed = False

    def __init__(self, filename: str, size: float | None, dated: float | None) -> None:
        """*filename* is `<name>/<name>_<version>.tar.gz`. Raises ValueError for any other."""
        folder, _, last = filename.partition("/")
        found = paths.package(last)
        if found is None or found[0] != folder:
            raise ValueError(filename)
        self.name, self.version = found
        self.filename = filename
        self._size = size
        self._dated = dated

    @property
    def size(self) -> int | None:
        return None if self._size is None else int(self._size)

    @property
    def dated(self) -> float | None:
        return self._dated


def render(index: Index, body: Body, context: Context, forms: frozenset[str]) -> Iterator[Rendered]:
    """Make those of archive.rds's forms `rds` and `rows` that are wanted. Raises BadIndex."""
    whole = read(unpacked(body.content))
    frames = _frames(whole)
    found = list(_files(frames))
    denied: dict[str, Verdict] = {}
    if context.policy is not None:
        judging = Judging(contrib_of(index), body, context, context.policy)
        verdicts = ((one.filename, judging.verdict(one)) for one in found)
        denied = {filename: verdict for filename, verdict in verdicts if verdict.hides}
    if ROWS in forms:
        hidden = Counter(verdict.rule for verdict in denied.values())
        rows = ((one.filename, _row(one, denied)) for one in found)
        yield Rendered(form=ROWS, chunks=build(rows), hidden=hidden)
    if "rds" in forms:
        if not denied and len(found) == sum(len(_row_names(frame)) for _, frame in frames):
            yield Rendered(form="rds", chunks=(body.content,))
        else:
            shown = {one.filename.encode() for one in found} - {one.encode() for one in denied}
            kept = [(name, _subset(frame, shown)) for name, frame in frames]
            left = [(name, frame) for name, frame in kept if _row_names(frame)]
            names = rds.texts([name for name, _ in left])
            attributes = {**whole.attributes, b"names": names}
            made = replace(whole, values=[frame for _, frame in left], attributes=attributes)
            yield Rendered(form="rds", chunks=(gzipped(rds.written(made)),))


def contrib_of(index: Index) -> str:
    """The folder whose archive *index*, an archive.rds, lists."""
    return index.path.removesuffix(f"/{paths.ARCHIVE}")


def files(body: Body) -> Iterator[Archived]:
    """The packages' files that an archive.rds lists, in order. Raises BadIndex."""
    return _files(_frames(read(unpacked(body.content))))


def page(index: Index, body: Body, context: Context) -> bytes:
    """The page of one package's folder: the links to its files that are shown. Raises BadIndex.

    It is written anew: nothing of what servers put around the links is the same everywhere.
    """
    folder = index.path.removesuffix("/").rpartition("/")[2]
    try:
        text = str(unpacked(body.content), "utf-8")
    except UnicodeDecodeError as error:
        raise BadIndex(f"the page is not UTF-8: {error.reason}") from error
    links = (unquote(unescape(found)).rpartition("/")[2] for found in _LINK.findall(text))
    names = [name for name in dict.fromkeys(links) if _is_of(folder, name)]
    if context.policy is not None:
        table = Table(body.gate if body.gate is not None else b"".join(build({})))
        names = [name for name in names if _is_shown(table, f"{folder}/{name}")]
    title = f"Index of {escape(folder)}"
    lines = [f'<a href="{quote(name)}">{escape(name)}</a><br>' for name in names]
    head = f'<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"><title>{title}</title></head>'
    return "\n".join([head, "<body>", *lines, "</body>", "</html>", ""]).encode()


def _is_of(folder: str, filename: str) -> bool:
    found = paths.package(filename)
    return found is not None and found[0] == folder and filename.isprintable()


def _is_shown(table: Table, row: str) -> bool:
    value = table.get(row)
    return value is not None and decode_row(value).denied is None


_ALLOWED = encode_row(Row())


def _row(one: Archived, denied: dict[str, Verdict]) -> bytes:
    verdict = denied.get(one.filename)
    if verdict is None:
        return _ALLOWED
    return encode_row(Row(denied=verdict.denied, until=verdict.until))


# -- R's data ----------------------------------------------------------------------------

_Frames = list[tuple[bytes | None, Vector]]


def _frames(whole: Vector) -> _Frames:
    """The table of each package's files, by name. Raises BadIndex."""
    names = whole.attributes.get(b"names")
    if whole.type != LIST or (names is None and whole.values) or (names and names.type != STRING):
        raise BadIndex("the R data is no list with names")
    known = [] if names is None else list(names.values)
    if len(known) != len(whole.values):
        raise BadIndex("the R data has not as many names as members")
    for frame in whole.values:
        if not isinstance(frame, Vector) or frame.type != LIST:
            raise BadIndex("the R data has a member that is no table of files")
        _row_names(frame)
    return list(zip(known, whole.values, strict=True))


def _row_names(frame: Vector) -> Sequence[bytes]:
    names = frame.attributes.get(b"row.names")
    if names is None or names.type != STRING or None in names.values:
        if names is not None and not len(names):
            return ()
        raise BadIndex("the R data has a table of files without their names")
    for column in frame.values:
        if not isinstance(column, Vector) or len(column) != len(names):
            raise BadIndex("the R data has a table with columns of different lengths")
    return names.values  # type: ignore[return-value]  # it has just been looked at


def _files(frames: _Frames) -> Iterator[Archived]:
    for _, frame in frames:
        sizes, dates = _column(frame, b"size"), _column(frame, b"mtime")
        for number, name in enumerate(_row_names(frame)):
            try:
                yield Archived(name.decode(), sizes[number], dates[number])
            except ValueError:  # not UTF-8, or no package: not shown
                continue


def _column(frame: Vector, name: bytes) -> Sequence[float | None]:
    """Numbers, where the table has such a column; NA is none."""
    names = frame.attributes.get(b"names")
    length = len(_row_names(frame))
    if names is None or names.type != STRING or name not in names.values:
        return [None] * length
    place = list(names.values).index(name)
    column = frame.values[place] if place < len(frame.values) else None
    if not isinstance(column, Vector) or column.type not in _NUMBERS:
        return [None] * length
    assert isinstance(column.values, bytes)
    numbers = [number for (number,) in struct.iter_unpack(_NUMBERS[column.type], column.values)]
    # NA of integers is the least of all, that of reals is no number; neither says anything.
    return [number if 0 <= number < 2**53 else None for number in numbers]


def _subset(frame: Vector, shown: set[bytes]) -> Vector:
    """The table with those of its rows alone whose files are *shown*."""
    names = _row_names(frame)
    rows = [at for at, name in enumerate(names) if name in shown]
    if len(rows) == len(names):
        return frame
    members: Any = frame.values
    columns = [_picked(column, rows) for column in members]
    attributes = {**frame.attributes, b"row.names": rds.texts([names[at] for at in rows])}
    return replace(frame, values=columns, attributes=attributes)


def _picked(column: Vector, rows: Sequence[int]) -> Vector:
    values: Any = column.values
    if isinstance(values, bytes):
        width = len(values) // max(len(column), 1)
        picked: Any = b"".join(values[at * width : (at + 1) * width] for at in rows)
    else:
        picked = [values[at] for at in rows]
    return replace(column, values=picked)
