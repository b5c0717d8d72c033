"""What serving a file takes of its record in an index.

Everything else in a record belongs to the clients and is never looked at here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from proxy.core.rows import Row
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.errors import BadIndex

_DIGESTS = {"sha256": re.compile(r"[0-9a-fA-F]{64}"), "md5": re.compile(r"[0-9a-fA-F]{32}")}

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Record(msgspec.Struct, gc=False):
    """The fields that matter of any record."""

    name: str
    size: Size | None = None
    sha256: str | None = None
    md5: str | None = None


def records(raw: msgspec.Raw | None, kind: type[Any], where: str) -> dict[str, Any]:
    """A table of records, read as *kind*; an absent one is empty. Raises BadIndex."""
    if raw is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, kind])  # type: ignore[valid-type]
    except UNREADABLE as error:
        raise BadIndex(f"{where}: {error}") from error
    return found


def row(record: Record, url: str | None) -> Row:
    """The row of a file that lies at *url*; None: beside the index."""
    return Row(url=url, size=record.size, hashes=_hashes(record))


def _hashes(record: Record) -> dict[str, str]:
    """The better of the digests; what is not one says nothing of the file."""
    if digest := hex_digest("sha256", record.sha256):
        return {"sha256": digest}
    if digest := hex_digest("md5", record.md5):
        return {"md5": digest}
    return {}


def hex_digest(algorithm: str, value: object) -> str | None:
    """*value* in lower case if it is a digest of that algorithm in hex; else None."""
    if isinstance(value, str) and _DIGESTS[algorithm].fullmatch(value):
        return value.lower()
    return None
