"""Preconditions and ranges of a GET or HEAD, decided without touching a byte.

RFC 9110 section 13 says whether to answer at all, section 14 which part of the representation.
Header names are looked up in lower case; repeated lines are joined by commas before they come
here. The bytes, and which headers go with which outcome, are the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.core.http_date import parse_http_date

MOST_RANGES = 64
"""Ranges in one request; more are ignored, as RFC 9110 section 14.2 advises against abuse."""

PART_OVERHEAD = 96
"""Bytes that a further part costs in headers: a smaller gap is sent rather than skipped."""

_ETAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGES = re.compile(r"[ \t]*bytes[ \t]*=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_DIGITS = 18  # of a position that matter: 10**18 bytes lie beyond any file's end


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """What would be sent: its entity tag (quoted), its time in seconds, its length in bytes.

    Each is None where unknown. A range is refused to nobody but simply not cut (200) while the
    length is unknown.
    """

    etag: str | None = None
    last_modified: float | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """Answer 200 with everything."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Answer 304, with the validators repeated."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """Answer 412."""


@dataclass(frozen=True, slots=True)
class Part:
    """Answer 206 with the bytes from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def content_range(self, length: int) -> str:
        """The value of Content-Range in a representation of *length* bytes."""
        return f"bytes {self.first}-{self.last}/{length}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Answer 206 with several parts (`plan_multipart`), at least two, apart from each other."""

    ranges: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer 416: no range lies within the `length` bytes."""

    length: int

    @property
    def content_range(self) -> str:
        """The value of Content-Range (RFC 9110 section 15.5.17)."""
        return f"bytes */{self.length}"


Ranged = Whole | Part | Parts | Unsatisfiable
Decision = Ranged | NotModified | PreconditionFailed


def decide(method: str, headers: Mapping[str, str], representation: Representation) -> Decision:
    """Say how to answer a GET or HEAD, in the order of RFC 9110 section 13.2.2."""
    if _fails(headers, representation):
        return PreconditionFailed()
    if _known_to_client(headers, representation):
        return NotModified()
    # Section 14.2: Range has a meaning for GET only.
    if method != "GET" or representation.length is None or "range" not in headers:
        return Whole()
    if "if-range" in headers and not _same(headers["if-range"], representation):
        return Whole()
    return cut(headers["range"], representation.length)


def _fails(headers: Mapping[str, str], held: Representation) -> bool:
    if (wanted := headers.get("if-match")) is not None:  # section 13.1.1
        return wanted.strip() != "*" and not any(
            not weak and tag == held.etag for weak, tag in _ETAG.findall(wanted)
        )
    unmodified = headers.get("if-unmodified-since")  # section 13.1.4
    if unmodified is None or held.last_modified is None:
        return False
    date = parse_http_date(unmodified)
    return date is not None and held.last_modified // 1 > date


def _known_to_client(headers: Mapping[str, str], held: Representation) -> bool:
    if (known := headers.get("if-none-match")) is not None:  # section 13.1.2: weak comparison
        if known.strip() == "*":
            return True
        ours = held.etag and held.etag.removeprefix("W/")
        return ours is not None and any(tag == ours for _, tag in _ETAG.findall(known))
    since = headers.get("if-modified-since")  # section 13.1.3: only without If-None-Match
    if since is None or held.last_modified is None:
        return False
    date = parse_http_date(since)
    return date is not None and held.last_modified // 1 <= date


def _same(validator: str, held: Representation) -> bool:
    """If-Range (section 13.1.5): the strong comparison, or exactly the same date."""
    validator = validator.strip()
    if validator.startswith(('"', "W/")):
        return validator.startswith('"') and validator == held.etag
    date = parse_http_date(validator)
    return date is not None and held.last_modified is not None and held.last_modified // 1 == date


def cut(value: str, length: int) -> Ranged:
    """Read a Range header's *value* for a representation of *length* bytes (section 14.1.2).

    What is no byte range, or would not save anything, is answered whole.
    """
    wanted = _wanted(value, length)
    if wanted is None:
        return Whole()
    satisfiable = [part for part in wanted if part is not None]
    if not satisfiable:
        return Unsatisfiable(length)
    if length == 0:  # a suffix of nothing is satisfiable, yet Content-Range cannot say so
        return Whole()
    ranges = _coalesced(satisfiable)
    return ranges[0] if len(ranges) == 1 else Parts(tuple(ranges))


def _wanted(value: str, length: int) -> list[Part | None] | None:
    """The ranges asked for, None for each unsatisfiable one; None if it is all to be ignored."""
    found = _RANGES.fullmatch(value)
    if found is None or found[1].count(",") >= MOST_RANGES:
        return None
    texts = [text.strip(" \t") for text in found[1].split(",")]
    pairs = [_RANGE.fullmatch(text) for text in texts if text]
    wanted: list[Part | None] = []
    for pair in pairs:
        if pair is None or _invalid(pair[1], pair[2]):
            return None  # one invalid range makes the whole set invalid (section 14.1.1)
        wanted.append(_within(pair[1], pair[2], length))
    return wanted or None


def _invalid(first: str, last: str) -> bool:
    if first and last:
        return _number(last) < _number(first)
    return not first and not last


def _within(first: str, last: str, length: int) -> Part | None:
    if not first:
        size = _number(last)
        return Part(max(0, length - size), length - 1) if size else None
    start = _number(first)
    end = min(_number(last), length - 1) if last else length - 1
    return Part(start, end) if start < length else None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS else 10**_DIGITS


def _coalesced(ranges: Sequence[Part]) -> list[Part]:
    """Ranges that overlap, or nearly touch, as one (section 15.3.7.2); else as they were asked."""
    merged: list[tuple[int, Part]] = []  # with the place of the earliest of its ranges
    for place, part in sorted(enumerate(ranges), key=lambda item: item[1].first):
        if merged and part.first <= merged[-1][1].last + PART_OVERHEAD:
            earlier, before = merged[-1]
            joined = Part(before.first, max(before.last, part.last))
            merged[-1] = (min(earlier, place), joined)
        else:
            merged.append((place, part))
    return [part for _, part in sorted(merged, key=lambda item: item[0])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A multipart/byteranges body to be: each header block with its part, then the closing."""

    content_type: str
    content_length: int
    parts: tuple[tuple[bytes, Part], ...]
    closing: bytes


def plan_multipart(
    ranges: Sequence[Part], *, length: int, media_type: str, boundary: str
) -> Multipart:
    """Lay out the answer for *ranges* of a representation (RFC 9110 section 14.6).

    *boundary* must not occur in the bytes: something random of 16 bytes or more. Raises
    ValueError where it is not a boundary at all.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError(f"{boundary!r} cannot separate the parts of a multipart body")
    parts = tuple(
        (_part_head(part, length, media_type, boundary, first=number == 0), part)
        for number, part in enumerate(ranges)
    )
    closing = f"\r\n--{boundary}--\r\n".encode()
    return Multipart(
        content_type=f'multipart/byteranges; boundary="{boundary}"',
        content_length=sum(len(head) + part.size for head, part in parts) + len(closing),
        parts=parts,
        closing=closing,
    )


def _part_head(part: Part, length: int, media_type: str, boundary: str, *, first: bool) -> bytes:
    lines = (
        f"--{boundary}",
        f"Content-Type: {media_type}",
        f"Content-Range: {part.content_range(length)}",
        "\r\n",
    )
    # The line break before a delimiter belongs to it (RFC 2046 section 5.1.1).
    return ("" if first else "\r\n").encode() + "\r\n".join(lines).encode("latin-1")
