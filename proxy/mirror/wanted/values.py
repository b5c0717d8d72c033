"""What a file of a project asks for, as plain values.

Readers (`environment`, `requirements`, …) make them of files; `closing` finds out which files of
which mirrors they come to. `where` is always the file, and the line or key in it, for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Conda specs that are solved together, for each chosen platform.

    `channels` are names or addresses, the most important first; empty: the command says which.
    `requirements` are those that pip is to install into it.
    """

    where: str
    specs: tuple[str, ...]
    channels: tuple[str, ...] = ()
    requirements: Requirements | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """One requirement (PEP 508). `hashes` are `sha256:…`; not empty: only such files are meant."""

    where: str
    requirement: Requirement
    hashes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Requirements that are resolved together, for each chosen platform and Python version.

    `constraints` limit what is chosen without asking for it. `prereleases`: they count as
    releases. `only_wheels`: the projects that must not be built, `:all:` for every one.
    """

    where: str
    required: tuple[Required, ...]
    constraints: tuple[Required, ...] = ()
    prereleases: bool = False
    only_wheels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedConda:
    """One file of a channel, by its address there. `sha256` as far as the lock has it."""

    where: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPypi:
    """One file of a project. `url`: where the lock found it, `sha256` as far as the lock has it."""

    where: str
    project: str
    filename: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RPackage:
    """A package of CRAN and all that it needs: `dplyr`, or `dplyr (>= 1.1)`."""

    where: str
    spec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedR:
    """That version of a package of CRAN, current or archived."""

    where: str
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """Something that is asked for, but that no mirror of packages has, and why."""

    where: str
    what: str
    reason: str


Item = Environment | Requirements | LockedConda | LockedPypi | RPackage | LockedR | Beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that a file asks for. `notes`: what of the file was left aside, for people."""

    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def together(parts: Iterable[Wanted]) -> Wanted:
        """What several files ask for; what more than one of them locks is kept once."""
        listed = list(parts)
        items = dict.fromkeys(item for part in listed for item in part.items)
        return Wanted(
            items=tuple(items), notes=tuple(note for part in listed for note in part.notes)
        )
