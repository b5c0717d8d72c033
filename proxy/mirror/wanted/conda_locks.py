"""Locks of conda environments: `conda-lock.yml`, `pixi.lock`, and explicit lists of addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rattler import LockFile
from rattler.exceptions import IoError, ParseCondaLockError
from rattler.lock import CondaLockedBinaryPackage, LockedPackage, PypiLockedPackage

from proxy.ecosystems.pypi.names import normalised
from proxy.errors import ConfigError
from proxy.mirror.wanted import addresses, documents
from proxy.mirror.wanted.documents import Table
from proxy.mirror.wanted.targets import Targets
from proxy.mirror.wanted.values import Beyond, Item, LockedConda, LockedPypi, Wanted

EXPLICIT = "@EXPLICIT"
"""The line that makes a list of addresses one of conda's."""

_VERSION = 1  # of conda-lock's format; there has been no other
_EXPLICIT_LINE = re.compile(r"(?P<url>[a-z]+://\S+?)(?:#(?P<digest>[0-9a-f]{64}|[0-9a-f]{32}))?")


def read_conda_lock(path: Path, targets: Targets) -> Wanted:
    """The files that a `conda-lock.yml` locks for the platforms. Raises ConfigError."""
    table = documents.yaml_table(path)
    if table.value.get("version") != _VERSION:
        raise ConfigError(f"{table.at('version')}: only version {_VERSION} is understood")
    items = (
        _locked(package)
        for package in table.tables("package")
        if targets.takes(package.text("platform"))
    )
    return Wanted(items=tuple(dict.fromkeys(items)))


def _locked(package: Table) -> Item:
    name, url = package.text("name"), package.text("url")
    sha256 = package.table("hash").optional("sha256")
    where = f"{package.file}: {name}"
    match package.text("manager"):
        case "conda":
            return _conda(where, url, sha256)
        case "pip":
            return _pypi(where, name, url, sha256)
        case manager:
            raise ConfigError(f"{package.at('manager')}: {manager!r} is neither conda nor pip")


def read_pixi_lock(path: Path, targets: Targets) -> Wanted:
    """The files of all environments of a `pixi.lock` for the platforms. Raises ConfigError."""
    documents.text(path)  # says better than rattler what is wrong with the file itself
    try:
        lock = LockFile.from_path(path)
    except (ParseCondaLockError, IoError) as error:
        raise ConfigError(f"{path}: is no lock of pixi's: {_on_one_line(error)}") from error
    items = (
        _of_pixi(package, f"{path}: {name}")
        for name, environment in lock.environments()
        for platform, packages in environment.packages_by_platform().items()
        if targets.takes(str(platform.subdir))
        for package in packages
    )
    return Wanted(items=tuple(dict.fromkeys(items)))


def _of_pixi(package: LockedPackage, where: str) -> Item:
    url, sha256 = package.location, _sha256(package)
    if "://" in url and not url.startswith(("file:", "git+")):
        match package:
            case CondaLockedBinaryPackage():
                return _conda(where, url, sha256)
            case PypiLockedPackage():
                return _pypi(where, package.name, url.partition("#")[0], sha256)
            case _:
                pass
    return Beyond(where=where, what=package.name, reason="it is locked to sources, not to a file")


def _sha256(package: LockedPackage) -> str | None:
    try:
        digest = package.hashes.sha256 if package.hashes else None
    except AttributeError:  # so rattler says that the lock has no digest at all
        return None
    return digest.hex() if digest else None


def read_explicit(path: Path) -> Wanted:
    """The addresses of a file that says `@EXPLICIT`. Raises ConfigError."""
    return Wanted(items=tuple(dict.fromkeys(_explicit(path))))


def _explicit(path: Path) -> Iterator[Item]:
    for number, text in enumerate(documents.text(path).splitlines(), 1):
        line = text.strip()
        if not line or line.startswith("#") or line == EXPLICIT:
            continue
        found = _EXPLICIT_LINE.fullmatch(line)
        where = f"{path}, line {number}"
        if found is None:
            raise ConfigError(f"{where}: {line!r} is no address of a package, with #digest or not")
        digest = found["digest"] or ""
        yield _conda(where, found["url"], digest if len(digest) == 64 else None)


def _pypi(where: str, name: str, url: str, sha256: str | None) -> Item:
    project = normalised(name)
    if project is None:
        raise ConfigError(f"{where}: {name!r} is no name of a Python project")
    filename = addresses.filename(url, where)
    return LockedPypi(where=where, project=project, filename=filename, url=url, sha256=sha256)


def _conda(where: str, url: str, sha256: str | None) -> LockedConda:
    addresses.filename(url, where)
    return LockedConda(where=where, url=url, sha256=sha256)


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
