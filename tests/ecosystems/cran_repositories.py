"""Small repositories for the tests of R packages."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

from proxy.core.model import Index
from proxy.core.rows import Row, Table, decode_row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.cran import rds_reader
from proxy.ecosystems.cran.ecosystem import Cran

MIRROR = "cran/r"
CRAN = Cran()
CONTEXT = Context(mirror=MIRROR)
CONTRIB = "src/contrib"
PACKAGES = f"{CONTRIB}/PACKAGES"
ARCHIVE = f"{CONTRIB}/Meta/archive.rds"
URL = f"https://r.example.org/{PACKAGES}.gz"


def index_of(path: str = PACKAGES) -> Index:
    """The index that *path* is a form of."""
    found = CRAN.classify(MIRROR, path)
    assert isinstance(found, Index)
    return found


def body_of(
    content: bytes, *, url: str = URL, first_seen: bytes = b"", closure: bytes | None = None
) -> Body:
    """What upstream answered, with the tables that belong to it."""
    return Body(
        content=content, source="", media_type="", url=url, first_seen=first_seen, closure=closure
    )


def dcf(*records: Mapping[str, str]) -> bytes:
    """PACKAGES of records of fields."""
    return "\n".join(
        "".join(f"{name}: {value}\n" for name, value in record.items()) for record in records
    ).encode()


class Made:
    """All forms of one index."""

    def __init__(
        self, content: bytes | Body, context: Context = CONTEXT, path: str = PACKAGES
    ) -> None:
        index = index_of(path)
        self.body = content if isinstance(content, Body) else body_of(content)
        forms: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        for group in CRAN.groups(index):
            for one in CRAN.render(index, self.body, context, group):
                forms[one.form] = b"".join(one.chunks)
                self.counts.update(one.hidden)
        self.forms = forms

    @property
    def text(self) -> bytes:
        return self.forms["text"]

    @property
    def packed(self) -> bytes:
        """What the form `gz` holds."""
        return gzip.decompress(self.forms["gz"])

    @property
    def rows(self) -> dict[str, Row]:
        items = Table(self.forms["rows"]).items()
        return {key: decode_row(value) for key, value in items}

    @property
    def gate(self) -> set[str]:
        """What may be asked for."""
        return {key for key, row in self.rows.items() if row.denied is None}

    @property
    def table(self) -> list[dict[str, str | None]]:
        """What the form `rds` of PACKAGES holds, record by record."""
        return matrix(self.forms["rds"])

    @property
    def archived(self) -> set[str]:
        """The files that the form `rds` of an archive lists."""
        frames: Any = rds_reader.read(gzip.decompress(self.forms["rds"])).values
        names = [frame.attributes[b"row.names"].values for frame in frames]
        return {one.decode() for found in names for one in found}


def matrix(packed: bytes) -> list[dict[str, str | None]]:
    """A table of texts as R has it, record by record."""
    whole: Any = rds_reader.read(gzip.decompress(packed))
    rows, columns = whole.attributes[b"dimnames"].values
    count = len(rows)
    cells = [None if one is None else one.decode() for one in whole.values]
    return [
        {name.decode(): cells[number * count + at] for number, name in enumerate(columns.values)}
        for at in range(count)
    ]
