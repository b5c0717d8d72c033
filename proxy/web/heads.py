"""Request heads that can be told apart without parsing them anew: the line, and the rest.

A client sends the same header lines with nearly all of its requests, so a block of them is
understood once and remembered by its bytes. Understood means: plain lines and nothing that could
make the request end anywhere but at the empty line. Everything else is left to aiohttp's parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 2048
"""Bytes of a request line, and of a block, that are looked at; ordinary ones have 100 to 900."""

MOST = 64
"""Lines of a block that are looked at, fewer than aiohttp accepts; ordinary ones have 5 to 10."""

USER_AGENT = b"user-agent"
"""The one header that is told apart only where an answer depends on it."""

FORWARDED = b"x-forwarded-for"
"""The one that says, of what a proxy passes on, who the client is."""

OF_NO_INTEREST = frozenset(
    {b"host", b"connection", b"via", b"forwarded", b"x-forwarded-for"}
    | {b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-real-ip"}
    | {b"x-request-id", b"traceparent", b"tracestate"}
)
"""Headers that no answer depends on. Any other one, known or not, tells requests apart.

Whoever makes answers depend on one of these must take it from here.
"""

_REQUEST = re.compile(rb"(?:GET|HEAD) /[\x21-\x7e]* HTTP/1\.1")
# Without obs-fold (RFC 9112 section 5.2), control characters, bare CR and LF, and non-ASCII.
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\t]*)")
_HOST = re.compile(rb"[0-9A-Za-z_.\-:\[\]]+")
_END = b"\r\n\r\n"

_CONNECTION, _KEEP_ALIVE, _CLOSE = b"connection", b"keep-alive", b"close"

# Each of these may change where the request ends, or what the connection is (RFC 9112 sections
# 6, 7 and 9; RFC 9110 sections 7.8 and 10.1.1).
_DECISIVE = frozenset(
    {b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te"}
    | {b"http2-settings", b"keep-alive", b"proxy-connection"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a block of header lines says: what tells requests apart, and who asks."""

    signature: tuple[tuple[bytes, bytes], ...]  # lower-case names, values
    agent: str
    forwarded: str  # what X-Forwarded-For says
    closes: bool  # whether it is the last request of its connection


def is_plain(line: bytes) -> bool:
    """Whether *line* is a request line, without its end, that asks for a path and has no body."""
    return len(line) <= LONGEST and _REQUEST.fullmatch(line) is not None


def understand(block: bytes) -> Understood | None:
    """Read a block: from the line break behind the request line to the empty line, with it."""
    if len(block) > LONGEST or not (block.startswith(b"\r\n") and block.endswith(_END)):
        return None
    signature = []
    read: dict[bytes, list[bytes]] = {b"host": [], USER_AGENT: [], FORWARDED: [], _CONNECTION: []}
    lines = block[2 : -len(_END)].split(b"\r\n")
    if len(lines) > MOST:
        return None
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        name, value = field[1].lower(), field[2].strip(b" \t")
        if name in _DECISIVE:
            return None
        if name in read:
            read[name].append(value)
        elif name not in OF_NO_INTEREST:
            signature.append((name, value))
    hosts, agents, forwarded, connection = read.values()
    said = b" ".join(connection).lower()
    # RFC 9112 section 3.2: exactly one Host; else it is aiohttp that decides what to do.
    is_addressed = len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None
    if not is_addressed or len(agents) > 1 or said not in (b"", _KEEP_ALIVE, _CLOSE):
        return None
    if said == _CLOSE:  # which the answer repeats
        signature.append((_CONNECTION, _CLOSE))
    return Understood(
        signature=tuple(signature),
        agent=agents[0].decode("ascii") if agents else "",
        forwarded=b",".join(forwarded).decode("ascii"),
        closes=said == _CLOSE,
    )
