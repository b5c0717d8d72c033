"""What an index offers to a target: versions, the newest first, with the files that matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from proxy.mirror.wanted.choosing import wheels_for
from proxy.mirror.wanted.pypi_index import File
from proxy.mirror.wanted.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One version of a project: `files` are those that machines of the target install.

    They are wheels, that of the newest machine first, or one archive of sources.
    """

    project: str
    version: Version
    files: tuple[File, ...]
    yanked: bool


def offers(
    project: str,
    files: Iterable[File],
    target: Target,
    *,
    hashes: frozenset[str] = frozenset(),
    only_wheels: bool = False,
) -> tuple[Offer, ...]:
    """All versions that *target* can install, the newest first.

    *hashes*, where there are any, are those that a file may have.
    """
    versions: dict[Version, list[File]] = {}
    for file in files:
        if (not hashes or file.hashes & hashes) and _for_python(file, target):
            versions.setdefault(Version(file.version), []).append(file)
    found = []
    for version in sorted(versions, reverse=True):
        listed = versions[version]
        kept = [file for file in listed if not file.yanked] or listed
        chosen = tuple(_chosen(kept, target, only_wheels=only_wheels))
        if chosen:
            yanked = chosen[0].yanked
            found.append(Offer(project=project, version=version, files=chosen, yanked=yanked))
    return tuple(found)


def _chosen(files: list[File], target: Target, *, only_wheels: bool) -> Iterator[File]:
    wheels = {file.filename: file for file in files if file.is_wheel}
    names = wheels_for(wheels, target)
    yield from (wheels[name] for name in names)
    if names or only_wheels:
        return
    sources = [file for file in files if not file.is_wheel]
    # Every index of today wants .tar.gz (PEP 625); a .zip stands beside it in old ones.
    yield from sorted(sources, key=lambda file: file.filename.endswith(".zip"))[:1]


def _for_python(file: File, target: Target) -> bool:
    """Whether `requires-python` allows it; one that cannot be read counts as none, as for pip."""
    if not file.requires_python:
        return True
    try:
        return SpecifierSet(file.requires_python).contains(target.python_full, prereleases=True)
    except InvalidSpecifier:
        return True
