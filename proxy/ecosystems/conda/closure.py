"""Allow-lists closed over dependencies: what the specs match, and all that it may need.

Not a solver's answer but the set that solvers may choose from: of every dependency every record
that satisfies it is kept, in the subdir and in noarch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from proxy.ecosystems.conda.records import Judgeable, identity
from proxy.ecosystems.conda.sections import Sections
from proxy.ecosystems.conda.specs import Candidate, Spec
from proxy.ecosystems.kept import Kept, encoded, key


class Needing(Judgeable, gc=False):
    """The fields that a closure looks at."""

    depends: Any = None


def made(
    indexes: Mapping[str, Sections], platforms: Sequence[str], specs: Iterable[Sequence[str]]
) -> bytes:
    """The table of all lists of *specs*, closed for each of *platforms* with noarch.

    Raises BadIndex, and ValueError where a spec cannot be read.
    """
    table: dict[str, list[Kept]] = {}
    for listed in specs:
        kept: dict[bytes, Kept] = {}
        for platform in platforms:
            here = {one: indexes[one] for one in (platform, "noarch") if one in indexes}
            for one in closed(here, listed):
                kept.setdefault(one.identity + one.subdir.encode(), one)
        table[key(listed)] = list(kept.values())
    return encoded(table)


def closed(indexes: Mapping[str, Sections], specs: Sequence[str]) -> Iterator[Kept]:
    """Everything in *indexes* (by subdir) that *specs* match, with all that it may need.

    Raises BadIndex, and ValueError where a spec cannot be read.
    """
    by_name: dict[str, list[_Listed]] = {}
    for listed in _listed(indexes):
        by_name.setdefault(listed.record.name.lower(), []).append(listed)
    kept: set[int] = set()
    waiting: deque[tuple[Spec, str | None]] = deque((Spec.of(text), None) for text in specs)
    asked: set[str] = set()
    while waiting:
        spec, through = waiting.popleft()
        for listed in _matched(spec, by_name):
            if id(listed) in kept:
                continue
            kept.add(id(listed))
            yield listed.kept(through)
            for text in listed.needs():
                if text not in asked:
                    asked.add(text)
                    needed = _readable(text)
                    if needed is not None:
                        waiting.append((needed, f"{listed.record.name} {listed.record.version}"))


class _Listed:
    """One record of an index."""

    __slots__ = ("candidate", "filename", "record", "subdir")

    def __init__(self, subdir: str, filename: str, record: Needing) -> None:
        self.subdir = subdir
        self.filename = filename
        self.record = record
        self.candidate = Candidate(record, subdir)

    def needs(self) -> Iterator[str]:
        depends = self.record.depends
        yield from (
            (one for one in depends if isinstance(one, str)) if isinstance(depends, list) else ()
        )

    def kept(self, through: str | None) -> Kept:
        return Kept(
            identity=identity(self.record),
            subdir=self.subdir,
            filename=self.filename,
            name=self.record.name,
            version=str(self.record.version),
            through=through,
        )


def _listed(indexes: Mapping[str, Sections]) -> Iterator[_Listed]:
    for subdir, sections in indexes.items():
        for section in sections.values():
            if section.kind is None:
                continue
            for record_key, record in section.records(Needing):
                if isinstance(record, Needing):
                    yield _Listed(subdir, section.filename(record_key), record)


def _matched(spec: Spec, by_name: Mapping[str, list[_Listed]]) -> Iterator[_Listed]:
    names = [spec.exact] if spec.exact is not None else filter(spec.is_for, by_name)
    for name in names:
        for listed in by_name.get(name, ()):
            # What cannot be read as a record is not needed by anybody.
            if spec.is_name_only or spec.matches_candidate(listed.candidate):
                yield listed


@cache
def _readable(text: str) -> Spec | None:
    """A dependency; one that cannot be read leads nowhere, as no solver could follow it."""
    try:
        return Spec.of(text)
    except ValueError:
        return None
