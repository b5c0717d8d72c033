"""`uv.lock`: the graph that uv locks, walked for each target with its markers.

All extras and dependency groups of the project itself are followed: a project that is worked on
needs them. What no target's markers reach is not wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from proxy.errors import ConfigError
from proxy.mirror.wanted import addresses, documents
from proxy.mirror.wanted.choosing import wheels_for
from proxy.mirror.wanted.documents import Table
from proxy.mirror.wanted.naming import Naming
from proxy.mirror.wanted.targets import Target, Targets
from proxy.mirror.wanted.values import Beyond, Item, LockedPypi, Wanted

_VERSION = 1
"""The one version of the format there is; revisions of it are compatible."""

_HERE = ("virtual", "editable", "directory", "path")
_LOCAL = ("virtual", "editable")


def read(path: Path, targets: Targets) -> Wanted:
    """The files that *path* locks for the targets. Raises ConfigError."""
    table = documents.toml(path)
    if table.value.get("version") != _VERSION:
        raise ConfigError(f"{table.at('version')}: only version {_VERSION} is understood")
    for target in targets:
        _check_python(table, target, targets.naming)
    graph = _Graph(table)
    items = (item for target in targets for item in graph.files(target))
    return Wanted(items=tuple(dict.fromkeys(items)))


def _check_python(table: Table, target: Target, naming: Naming) -> None:
    text = table.optional("requires-python") or ""
    where = table.at("requires-python")
    try:
        allowed = SpecifierSet(text).contains(target.python_full, prereleases=True)
    except InvalidSpecifier as error:
        raise ConfigError(f"{where}: {error}") from error
    if not allowed:
        raise ConfigError(
            f"{where}: the project needs {text}, so not {target}; write {naming.python}"
        )


@dataclass(frozen=True, slots=True)
class _Node:
    """A package of the graph, with the extras of it that are needed."""

    position: int
    extras: frozenset[str]


class _Graph:
    """The packages of a lock and what they need."""

    def __init__(self, table: Table) -> None:
        self._packages = list(table.tables("package"))
        self._by_name: dict[str, list[int]] = {}
        for position, package in enumerate(self._packages):
            self._by_name.setdefault(package.text("name"), []).append(position)

    def files(self, target: Target) -> Iterator[Item]:
        """What is installed on *target*."""
        for position in sorted(self._reached(target)):
            yield from _files(self._packages[position], target)

    def _reached(self, target: Target) -> set[int]:
        todo = [
            _Node(position, frozenset(package.table("optional-dependencies").value))
            for position, package in enumerate(self._packages)
            if any(kind in package.table("source") for kind in _LOCAL)
        ]
        seen = set(todo)
        while todo:
            for node in self._needed(todo.pop(), target):
                if node not in seen:
                    seen.add(node)
                    todo.append(node)
        return {node.position for node in seen}

    def _needed(self, node: _Node, target: Target) -> Iterator[_Node]:
        package = self._packages[node.position]
        lists = [package.tables("dependencies")]
        optional = package.table("optional-dependencies")
        lists += [optional.tables(extra) for extra in node.extras]
        groups = package.table("dev-dependencies")
        lists += [groups.tables(group) for group in groups.value]
        for dependencies in lists:
            for dependency in dependencies:
                if _applies(dependency, target):
                    yield self._node(dependency, target)

    def _node(self, dependency: Table, target: Target) -> _Node:
        """The locked package that *dependency* means; several of a name differ in version."""
        name, version = dependency.text("name"), dependency.optional("version")
        found = [
            position
            for position in self._by_name.get(name, ())
            if version is None or self._packages[position].optional("version") == version
        ]
        if not found:
            wanted = f"{name} {version}" if version else name
            raise ConfigError(f"{dependency.where}: the lock has no package {wanted}")
        fitting = [it for it in found if _resolved_for(self._packages[it], target)] or found
        return _Node(fitting[0], frozenset(dependency.texts("extra")))


def _applies(dependency: Table, target: Target) -> bool:
    text = dependency.optional("marker")
    return text is None or _true(text, dependency.at("marker"), target)


def _resolved_for(package: Table, target: Target) -> bool:
    """Whether a package that is locked several times is locked so for *target*."""
    markers = package.texts("resolution-markers")
    where = package.at("resolution-markers")
    return not markers or any(_true(text, where, target) for text in markers)


def _true(text: str, where: str, target: Target) -> bool:
    try:
        marker = Marker(text)
    except InvalidMarker as error:
        raise ConfigError(f"{where}: {text!r} is no marker: {error}") from error
    # uv encodes conflicting extras as extra names of its own: they count as not chosen.
    return marker.evaluate({**target.environment, "extra": ""})


def _files(package: Table, target: Target) -> Iterator[Item]:
    """The wheels for machines of each age, else the sources; nothing of the project itself."""
    source, name = package.table("source"), package.text("name")
    if any(kind in source for kind in _HERE):
        if not any(kind in source for kind in _LOCAL):
            yield Beyond(where=package.where, what=name, reason="it is locked to a local path")
        return
    if "registry" not in source:
        kind = next(iter(source.value), "nowhere")
        yield Beyond(
            where=package.where, what=name, reason=f"it is locked to a source of type {kind}"
        )
        return
    wheels = {_filename(wheel): wheel for wheel in package.tables("wheels")}
    chosen = [wheels[filename] for filename in wheels_for(wheels, target)]
    if not chosen and "sdist" in package:
        chosen = [package.table("sdist")]
    if not chosen:
        yield Beyond(
            where=package.where, what=name, reason=f"the lock has no file of it for {target}"
        )
    for file in chosen:
        sha256 = (file.optional("hash") or "").removeprefix("sha256:")
        yield LockedPypi(
            where=f"{package.file}: {name}",
            project=name,
            filename=_filename(file),
            url=_address(file),
            sha256=sha256 or None,
        )


def _address(file: Table) -> str:
    return file.optional("url") or file.text("path")


def _filename(file: Table) -> str:
    return addresses.filename(_address(file), file.where)
