"""Known vulnerabilities of packages, as OSV has them: which versions they are in, how bad they are.

Values only; `proxy.core.osv` reads them. What cannot be ordered counts as affected.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from packaging.utils import canonicalize_version

from proxy.core.digest import Digest

Order = Callable[[str], Any]
"""Turns a version into what can be compared. Raises ValueError."""


class Status(enum.Enum):
    """What the operator knows of a vulnerability; without a word of theirs it is active."""

    ACTIVE = "active"
    REPORTED = "reported"
    MITIGATED = "mitigated"
    CLEARED = "cleared"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True)
class Range:
    """Events in the life of a vulnerability: (`introduced`, `fixed`, `last_affected` or `limit`,
    version), as OSV's schema has them. "0" is before every version.
    """

    events: tuple[tuple[str, str], ...]

    def has(self, version: str, order: Order) -> bool:
        """Whether *version* is affected. Raises ValueError where it cannot be ordered."""
        key = order(version)
        limits = [at for kind, at in self.events if kind == "limit"]
        if limits and not any("*" in at or key < order(at) for at in limits):
            return False
        # A local build of the last version that is affected is affected too, and above it in order.
        bare = order(_public(version))
        # The schema wants an introduction; where there is none, it was there from the start.
        affected = all(kind != "introduced" for kind, _ in self.events)
        for kind, at in self._timeline(order):
            if kind == "introduced" and (at == "0" or key >= order(at)):
                affected = True
            elif (kind == "fixed" and key >= order(at)) or (
                kind == "last_affected" and bare > order(at)
            ):
                affected = False
        return affected

    def _timeline(self, order: Order) -> list[tuple[str, str]]:
        """The events by version; of one version as they are written, `last_affected` at the end."""
        events = [event for event in self.events if event[0] != "limit"]
        return sorted(events, key=lambda event: _place(event, order))

    def fixed_in(self, version: str, order: Order) -> bool:
        """Whether *version*, or what it is a local build of, is the first that has a fix.

        Later ones have it as well, but are not what people wait for: of a package that once had a
        vulnerability every release would be. Raises ValueError where it cannot be ordered.
        """
        bare = order(_public(version))
        return any(kind == "fixed" and bare == order(at) for kind, at in self.events)


def _place(event: tuple[str, str], order: Order) -> tuple[bool, Any, bool]:
    kind, at = event
    if kind == "introduced" and at == "0":
        return (False, 0, False)
    return (True, order(at), kind == "last_affected")


def _public(version: str) -> str:
    """Without the part that names a local build (PEP 440)."""
    return version.partition("+")[0]


@lru_cache(maxsize=4096)
def _spellings(version: str) -> frozenset[str]:
    """As what it may be listed: 1.0 as 1.0.0 (PEP 440), a local build as what it was built from."""
    written = {version, _public(version)}
    return frozenset(written | {canonicalize_version(one) for one in written})


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One vulnerability of one package. `score` is CVSS's base score, None where there is none.

    `versions` are spelled as `proxy.core.osv` does. `everything`: it names neither versions nor
    ranges, and is in all of them.
    """

    id: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    score: float | None = None
    status: Status = Status.ACTIVE
    malicious: bool = False
    versions: frozenset[str] = frozenset()
    ranges: tuple[Range, ...] = ()
    everything: bool = False

    def affects(self, version: str, order: Order) -> bool:
        """Whether *version* has it; in doubt it has."""
        if self.everything or not self.versions.isdisjoint(_spellings(version)):
            return True
        try:
            return any(one.has(version, order) for one in self.ranges)
        except ValueError:
            return True

    def fixed_by(self, version: str, order: Order) -> bool:
        """Whether *version* is the one that fixes it; in doubt it is not."""
        try:
            fixed = any(one.fixed_in(version, order) for one in self.ranges)
        except ValueError:
            return False
        return fixed and not self.affects(version, order)


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """All that is known of one of OSV's ecosystems, or of one package in it.

    `conda_names` are the names that conda packages have there.
    """

    by_name: Mapping[str, tuple[Advisory, ...]] = field(default_factory=dict)
    conda_names: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> tuple[Advisory, ...]:
        """Those of the package called so there."""
        return self.by_name.get(name, ())

    def only(self, name: str) -> Advisories:
        """Those of one package alone."""
        found = self.of(name)
        return Advisories(by_name={name: found} if found else {})

    @cached_property
    def digest(self) -> Digest:
        """Names everything that is known."""
        hashed = hashlib.sha256()
        for name in sorted(self.by_name):
            lines = sorted(_line(one) for one in self.by_name[name])
            hashed.update("\n".join([name, *lines, ""]).encode())
        for name in sorted(self.conda_names):
            hashed.update(f"{name}={self.conda_names[name]}\n".encode())
        return Digest(hashed.hexdigest())


def _line(one: Advisory) -> str:
    return repr(replace(one, versions=frozenset())) + repr(sorted(one.versions))


class Packed(Mapping[str, tuple[Advisory, ...]]):
    """Advisories by name, unpacked when asked for.

    20,000 of them are handed from process to process in 10 ms instead of half a second, in which
    neither could do anything else.
    """

    def __init__(self, by_name: Mapping[str, tuple[Advisory, ...]]) -> None:
        self._packed = {name: _encode(some) for name, some in by_name.items()}
        self._unpacked: dict[str, tuple[Advisory, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Advisory, ...]:
        found = self._unpacked.get(name)
        if found is None:
            found = self._unpacked[name] = _decode(self._packed[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __repr__(self) -> str:
        return f"<Packed advisories of {len(self)} packages>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._packed,)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Advisory, ...]).decode


def _restored(packed: dict[str, bytes]) -> Packed:
    found = Packed({})
    found._packed = packed
    return found
