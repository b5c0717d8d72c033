"""A repository of R packages as a closure needs it: its PACKAGES, read through the server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.ecosystems.cran import packages, paths
from proxy.ecosystems.cran.packages import Package
from proxy.ecosystems.cran.versions import Spec, dependencies, order
from proxy.upstream.served import Server

CONTRIB = "src/contrib"
"""The folder of sources; every platform can install them."""

_NEEDS = (b"Depends", b"Imports", b"LinkingTo")

# R itself, and what it brings: priority base. Its recommended packages are in repositories, too.
_OF_R = {
    *("R", "base", "compiler", "datasets", "graphics", "grDevices", "grid", "methods", "parallel"),
    *("splines", "stats", "stats4", "tcltk", "tools", "utils"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A package that is needed, but not listed in a version that fits. `by`: who needs it."""

    spec: Spec
    by: str
    listed: tuple[str, ...]


class RIndex:
    """The current packages of a repository, the newest of each name."""

    def __init__(self, found: Mapping[str, tuple[Package, ...]]) -> None:
        self._found = found

    @classmethod
    async def read(cls, server: Server, url: str) -> RIndex:
        """The index of the mirror at *url*. Raises BadIndex, and what `Server.read` does."""
        text = await server.read(f"{url}{CONTRIB}/PACKAGES")
        return cls(await asyncio.to_thread(_read, text))

    def current(self, name: str, version: str) -> Package | None:
        """That very version, where it is listed; an older one is in the archive."""
        return self._best(Spec.of(f"{name} (== {version})"))

    def closed(self, spec: Spec, by: str) -> tuple[list[Package], list[Missing]]:
        """The package that *spec* means, with all that it needs to be installed."""
        kept: dict[str, Package] = {}
        missing: dict[Spec, Missing] = {}
        waiting = [(spec, by)]
        while waiting:
            needed, through = waiting.pop()
            if needed.name in _OF_R or needed in missing:
                continue
            package = self._best(needed)
            if package is None:
                versions = tuple(one.version for one in self._found.get(needed.name, ()))
                missing[needed] = Missing(spec=needed, by=through, listed=versions)
            elif package.filename not in kept:
                kept[package.filename] = package
                by = f"{package.name} {package.version}"
                waiting += [(one, by) for one in _needs(package)]
        return list(kept.values()), list(missing.values())

    def _best(self, spec: Spec) -> Package | None:
        fitting = [one for one in self._found.get(spec.name, ()) if spec.matches(one.version)]
        return fitting[0] if fitting else None


def _read(text: bytes) -> dict[str, tuple[Package, ...]]:
    found: dict[str, list[Package]] = {}
    for package in packages.listed(paths.packages("", CONTRIB), text):
        found.setdefault(package.name, []).append(package)
    return {name: tuple(sorted(listed, key=_age)) for name, listed in found.items()}


def _age(package: Package) -> tuple[int, ...]:
    """The newest first: R installs the newest of those that a repository lists."""
    try:
        return tuple(-number for number in order(package.version))
    except ValueError:
        return (1,)


def _needs(package: Package) -> list[Spec]:
    return [spec for field in _NEEDS for spec in dependencies(package.text(field) or "")]
