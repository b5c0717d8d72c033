"""PACKAGES in its three forms, and what its records say of the files.

Records that are shown keep their bytes. Of an index from which nothing is left out, the form that
upstream sent is sent on. PACKAGES.rds is made here: R asks for it first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from proxy.core import first_seen
from proxy.core.model import Index
from proxy.core.policy import Verdict
from proxy.core.rows import Row, build, encode_row
from proxy.ecosystems.base import ROWS, Body, Context, Rendered
from proxy.ecosystems.cran import dcf, paths, rds
from proxy.ecosystems.cran.judging import Candidate, Judging, varies
from proxy.ecosystems.cran.packed import gzipped, is_gzip, unpacked
from proxy.errors import BadIndex

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_FIELD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_DATES = (b"Published", b"Date/Publication", b"Packaged")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d))?", re.ASCII)


class Package(Candidate):
    """A record of PACKAGES, as policies look at it."""

    def __init__(self, fields: Mapping[bytes, bytes], ending: str, start: int, end: int) -> None:
        """*ending* is that of files' names where no record says it. Raises BadIndex where the
        record cannot name a file.
        """
        self.fields = fields
        self.start = start
        self.end = end
        self.name = _plain(fields, b"Package")
        self.version = _plain(fields, b"Version")
        self.filename = f"{self.name}_{self.version}{ending}"
        if b"File" in fields or b"Path" in fields:
            self.filename = self._elsewhere()

    def text(self, field: bytes) -> str | None:
        """A field as R reads it; NA is none."""
        raw = self.fields.get(field)
        if raw is None:
            return None
        found = dcf.value(raw).decode("utf-8", "replace")
        return None if found in ("", "NA") else found

    @property
    def licence(self) -> str | None:
        return self.text(b"License")

    @property
    def needs_compilation(self) -> bool | None:
        said = self.text(b"NeedsCompilation")
        return {"yes": True, "no": False}.get((said or "").lower())

    @property
    def hashes(self) -> dict[str, str]:
        """What the record promises of the file. Raises BadIndex."""
        said = self.text(b"MD5sum")
        if said is None:
            return {}
        if not _MD5.fullmatch(said):
            raise BadIndex(f"{self.filename}: its MD5sum is {said[:40]!r}, not 32 hex digits")
        return {"md5": said.lower()}

    @property
    def identity(self) -> bytes:
        return first_seen.identity(self.filename, *self.hashes.values())

    @property
    def said(self) -> float:
        """When the record says it was made (seconds); most say nothing, and count as old."""
        return next((at for at in map(self._date, _DATES) if at is not None), 0.0)

    def _date(self, field: bytes) -> float | None:
        found = _DATE.match(self.text(field) or "")
        if found is None:
            return None
        try:
            moment = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00:00'}")
        except ValueError:
            return None
        return moment.replace(tzinfo=UTC).timestamp()

    def _elsewhere(self) -> str:
        """The row: where the file is, from the contrib folder."""
        name = self.text(b"File") or self.filename
        folder = self.text(b"Path")
        path = f"{folder}/{name}" if folder else name
        segments = path.split("/")
        if any(one in ("", ".", "..") for one in segments) or not path.isprintable():
            raise BadIndex(f"package {self.name}: {path[:80]!r} is no path below its folder")
        return path


def contrib_of(index: Index) -> str:
    """The folder that *index*, a PACKAGES, is of."""
    return index.path.removesuffix("/PACKAGES")


def listed(index: Index, text: bytes) -> Iterator[Package]:
    """The packages among the records of *text*, in order. Raises BadIndex, naming the line.

    A record whose `File` is no package's says nothing that could be installed from here.
    """
    ending, start = paths.ending(contrib_of(index)), 0
    for record in dcf.records(text):
        try:
            package = Package(record.fields, ending, start, record.end)
        except BadIndex as error:
            raise BadIndex(f"line {dcf.line_of(text, start)}: {error}") from error
        if b"File" not in record.fields or paths.package(package.filename.rpartition("/")[2]):
            yield package
        start = record.end


def render(index: Index, body: Body, context: Context, forms: frozenset[str]) -> Iterator[Rendered]:
    """Make those of the forms `rds`, `gz`, `text` and `rows` that are wanted. Raises BadIndex."""
    text = unpacked(body.content)
    found = list(listed(index, text))
    denied = _denied(index, body, context, found)
    if ROWS in forms:
        hidden = Counter(verdict.rule for verdict in denied.values())
        yield Rendered(form=ROWS, chunks=build(dict(_rows(found, body, denied))), hidden=hidden)
    kept = [one for one in found if one.filename not in denied] if denied else found
    if "rds" in forms:
        yield Rendered(form="rds", chunks=(gzipped(_matrix(kept)),))
    if forms & {"gz", "text"}:
        same = sum(one.end - one.start for one in kept) == len(text)
        shown = text if same else b"".join(text[one.start : one.end] for one in kept)
        if "text" in forms:
            yield Rendered(form="text", chunks=(shown,))
        if "gz" in forms:
            same = same and is_gzip(body.content)
            yield Rendered(form="gz", chunks=(body.content if same else gzipped(shown),))


def _denied(
    index: Index, body: Body, context: Context, found: Sequence[Package]
) -> dict[str, Verdict]:
    """The files that are hidden; one of two records that say different things hides both."""
    if context.policy is None:
        return {}
    judging = Judging(contrib_of(index), body, context, context.policy)
    verdicts = ((one.filename, judging.verdict(one)) for one in found)
    return {filename: verdict for filename, verdict in verdicts if verdict.hides}


def _rows(
    found: Sequence[Package], body: Body, denied: Mapping[str, Verdict]
) -> Iterator[tuple[str, bytes]]:
    promised = not varies(body)
    for one in found:
        row = Row(hashes=one.hashes if promised else {})
        if (verdict := denied.get(one.filename)) is not None:
            row = msgspec.structs.replace(row, denied=verdict.denied, until=verdict.until)
        yield one.filename, encode_row(row)


def _matrix(kept: Sequence[Package]) -> bytes:
    """The records *kept* as R has them in memory; what many of them say is encoded once."""
    columns: dict[bytes, list[bytes]] = {}
    known: dict[bytes, bytes] = {}
    for number, one in enumerate(kept):
        for name, raw in one.fields.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = [rds.NA_TEXT] * len(kept)
            cell = known.get(raw)
            if cell is None:
                cell = known[raw] = rds.text(dcf.value(raw))
            column[number] = cell
    names = list(columns) or [b"Package", b"Version"]
    rows = [one.name.encode() for one in kept]
    return rds.matrix(names, rows, list(columns.values()))


def _plain(fields: Mapping[bytes, bytes], field: bytes) -> str:
    raw = fields.get(field, b"")
    if not _FIELD.fullmatch(raw):
        raw = dcf.value(raw)
        if not _FIELD.fullmatch(raw):
            said = raw[:40].decode("ascii", "replace")
            raise BadIndex(f"a record has {said!r} as its {field.decode()}")
    return raw.decode()
