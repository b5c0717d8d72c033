"""`renv.lock`: the packages of an R project, each with its version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from proxy.errors import ConfigError
from proxy.mirror.wanted import documents
from proxy.mirror.wanted.documents import Table
from proxy.mirror.wanted.values import Beyond, Item, RPackage, Wanted

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
_VERSION = re.compile(r"\d+([.-]\d+)*")
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
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise ConfigError(f"{package.where}: {name} {version} is no package of R's")
        source = package.optional("Source") or _REPOSITORY[0]
        if source in _REPOSITORY:
            yield RPackage(where=package.where, name=name, version=version)
        else:
            yield Beyond(
                where=package.where, what=f"{name} {version}", reason=f"it comes from {source}"
            )
