"""`pylock.toml` (PEP 751): read and selected from by `packaging`, for each target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from packaging.markers import Environment as MarkerEnvironment
from packaging.pylock import (
    Package,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
)

from proxy.errors import ConfigError
from proxy.mirror.wanted import addresses, documents
from proxy.mirror.wanted.choosing import wheels_for
from proxy.mirror.wanted.naming import Naming
from proxy.mirror.wanted.targets import Target, Targets
from proxy.mirror.wanted.values import Beyond, Item, LockedPypi, Wanted


def read(path: Path, targets: Targets) -> Wanted:
    """The files that *path* locks for the targets. Raises ConfigError."""
    table = documents.toml(path)
    try:
        lock = Pylock.from_dict(table.value)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    items = (
        item for target in targets for item in _selected(lock, target, str(path), targets.naming)
    )
    return Wanted(items=tuple(dict.fromkeys(items)))


def _selected(lock: Pylock, target: Target, where: str, naming: Naming) -> Iterator[Item]:
    """What an installer would take, with all extras and groups. Raises ConfigError."""
    groups = {*(lock.dependency_groups or ()), *(lock.default_groups or ())}
    try:
        selected = list(
            lock.select(
                environment=cast("MarkerEnvironment", target.environment),
                tags=list(target.ages()[0]),
                extras=lock.extras,
                dependency_groups=groups,
            )
        )
    except PylockSelectError as error:
        choose = f"write {naming.python}, {naming.platform}"
        raise ConfigError(f"{where}: is not for {target}; {choose}: {error}") from error
    for package, _ in selected:
        yield from _files(package, target, f"{where}: {package.name}")


def _files(package: Package, target: Target, where: str) -> Iterator[Item]:
    """The wheels for machines of each age, else the sources."""
    if package.is_direct:
        reason = "it is locked to a repository, a folder or an archive, not to an index"
        yield Beyond(where=where, what=package.name, reason=reason)
        return
    wheels = {wheel.filename: wheel for wheel in package.wheels or ()}
    names = wheels_for(wheels, target)
    found: list[PackageWheel | PackageSdist] = [wheels[name] for name in names]
    if not found and package.sdist is not None:
        found = [package.sdist]
    for one in found:
        if one.url is None:
            reason = f"it is locked to the file {one.path}"
            yield Beyond(where=where, what=package.name, reason=reason)
            continue
        yield LockedPypi(
            where=where,
            project=package.name,
            filename=addresses.filename(one.url, where),
            url=one.url,
            sha256=one.hashes.get("sha256"),
        )
