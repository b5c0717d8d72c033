"""`renv.lock`: the packages of an R project, each with its version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from proxy.ecosystems.cran.versions import Spec
from proxy.errors import ConfigError
from proxy.mirror.wanted import documents
from proxy.mirror.wanted.documents import Table
from proxy.mirror.wanted.values import Beyond, Item, LockedR, Wanted

_REPOSITORY = ("Repository", "CRAN")
"""What renv calls a package that came from a repository, now and before version 0.13."""


def read(path: Path) -> Wanted:
    """The packages that *path* locks. Raises ConfigError."""
    table = documents.json_table(path)
    if "Packages" not in table:
        raise ConfigError(f"{table.at('Packages')}: is missing: that is no lock of renv's")
    return Wanted(items=tuple(_packages(table.table("Packages"))))


def _packages(packages: Table) -> Iterator[Item]:
    for key in packages.value:
        package = packages.table(key)
        name, version = package.text("Package"), package.text("Version")
        try:
            Spec.of(f"{name} (== {version})")
        except ValueError as error:
            raise ConfigError(f"{package.where}: {name} {version}: {error}") from error
        source = package.optional("Source") or _REPOSITORY[0]
        if source in _REPOSITORY:
            yield LockedR(where=package.where, name=name, version=version)
        else:
            yield Beyond(
                where=package.where, what=f"{name} {version}", reason=f"it comes from {source}"
            )
