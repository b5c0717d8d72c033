"""The port to a running proxy, which is asked as any client asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

ADMINISTRATION = "pkgproxy (administration)"
"""The Server header of the other addresses of a running proxy, at which no packages are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A mirror that it lists. `source` is without secrets; `url` ends in a slash."""

    type: str
    name: str
    source: str
    url: str

    @property
    def key(self) -> str:
        """`<type>/<name>`."""
        return f"{self.type}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A file that it has now: bytes, and their SHA-256. `here`: it had it before."""

    size: int
    sha256: str
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """So many files of a package are hidden by a rule of the mirror's policy.

    `until`: from when on one of them will be old enough, in seconds since the epoch; None: that is
    not known.
    """

    rule: str
    reason: str
    files: int
    until: int | None = None


class Server(Protocol):
    """A running proxy.

    Errors are those of `proxy.errors`: Denied where policy refuses, UpstreamMissing where there is
    no such file, UpstreamTimeout and UpstreamFailed where it, or who stands behind it, fails.
    """

    url: str
    """Without a slash at the end; it may hold a secret."""

    headers: Mapping[str, str]
    """What it wants to see of whoever asks it; they may hold a secret, which is for it alone."""

    async def mirrors(self) -> tuple[Served, ...]:
        """What it serves."""
        ...

    async def refused(self, mirror: str, package: str) -> tuple[Refused, ...]:
        """What the policy of *mirror* (`type/name`) hides of *package*; nothing where it does not
        say.
        """
        ...

    async def read(self, url: str, *, accept: str = "*/*") -> bytes:
        """The body at *url*, which is bounded."""
        ...

    async def pull(self, url: str) -> Pulled:
        """Have it fetch what is at *url*; the bytes are not kept here."""
        ...
