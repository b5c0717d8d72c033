"""Known vulnerabilities of packages, as OSV has them: which versions they are in, how bad they are.

Values only; `proxy.core.osv` reads them. What cannot be ordered counts as affected.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

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
        if limits and not any(at == "*" or key < order(at) for at in limits):
            return False
        affected = False
        for kind, at in sorted(self.events, key=lambda event: _place(event, order)):
            if kind == "introduced" and (at == "0" or key >= order(at)):
                affected = True
            elif (kind == "fixed" and key >= order(at)) or (
                kind == "last_affected" and key > order(at)
            ):
                affected = False
        return affected

    def fixed_in(self, version: str, order: Order) -> bool:
        """Whether the fix is in *version*. Raises ValueError where it cannot be ordered."""
        key = order(version)
        return any(kind == "fixed" and key >= order(at) for kind, at in self.events)


def _place(event: tuple[str, str], order: Order) -> tuple[int, Any, int]:
    kind, at = event
    if at in ("0", "*"):
        return (0 if at == "0" else 2, 0, 0)
    return (1, order(at), 0 if kind == "introduced" else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One vulnerability of one package. `score` is CVSS's base score, None where there is none.

    `everything`: it names neither versions nor ranges, and is in all of them.
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
        if self.everything or version in self.versions:
            return True
        try:
            return any(one.has(version, order) for one in self.ranges)
        except ValueError:
            return True

    def fixed_by(self, version: str, order: Order) -> bool:
        """Whether *version* is one in which it is fixed; in doubt it is not."""
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
