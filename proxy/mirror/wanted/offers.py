"""What an index offers to a target: versions, the newest first, with the files that matter.

Which of a version's files a machine would take is found out for the versions that are looked at:
a page may list thousands of files, of which a resolver needs those of one or two versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

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


class Offers:
    """The versions of a project that *target* can install."""

    def __init__(
        self,
        project: str,
        files: Iterable[File],
        target: Target,
        *,
        hashes: frozenset[str] = frozenset(),
        only_wheels: bool = False,
    ) -> None:
        """*hashes*, where there are any, are those that a file may have."""
        self._project = project
        self._target = target
        self._only_wheels = only_wheels
        self._listed: dict[Version, list[File]] = {}
        for file in files:
            if not hashes or file.hashes & hashes:
                self._listed.setdefault(file.version, []).append(file)
        self._known: dict[Version, Offer | None] = {}

    @property
    def versions(self) -> list[Version]:
        """All that the index lists, the newest first; some may have no file for the target."""
        return sorted(self._listed, reverse=True)

    def of(self, versions: Iterable[Version]) -> Iterator[Offer]:
        """Those of *versions* that can be installed, in that order."""
        for version in versions:
            if version not in self._known:
                self._known[version] = self._made(version)
            if (offer := self._known[version]) is not None:
                yield offer

    def _made(self, version: Version) -> Offer | None:
        python = self._target.python_full
        listed = [it for it in self._listed[version] if _for_python(it.requires_python, python)]
        kept = [file for file in listed if not file.yanked] or listed
        chosen = tuple(self._chosen(kept))
        if not chosen:
            return None
        return Offer(project=self._project, version=version, files=chosen, yanked=chosen[0].yanked)

    def _chosen(self, files: list[File]) -> Iterator[File]:
        wheels = {file.filename: file for file in files if file.is_wheel}
        names = wheels_for(wheels, self._target)
        yield from (wheels[name] for name in names)
        if names or self._only_wheels:
            return
        sources = [file for file in files if not file.is_wheel]
        # Every index of today wants .tar.gz (PEP 625); a .zip stands beside it in old ones.
        yield from sorted(sources, key=lambda file: file.filename.endswith(".zip"))[:1]


@lru_cache(maxsize=4096)
def _for_python(requires: str | None, python: str) -> bool:
    """Whether `requires-python` allows it; one that cannot be read counts as none, as for pip."""
    if not requires:
        return True
    try:
        return SpecifierSet(requires).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True
