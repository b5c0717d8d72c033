"""Allow-lists closed over dependencies: what the specs match, and all that it needs to install.

That is `Depends`, `Imports` and `LinkingTo`; what R itself brings (`methods`, `stats`) is in no
index. Of every dependency every version that satisfies it is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from proxy.core.model import Index
from proxy.ecosystems.base import Body
from proxy.ecosystems.cran import packages
from proxy.ecosystems.cran.packages import Package
from proxy.ecosystems.cran.packed import unpacked
from proxy.ecosystems.cran.versions import Spec, dependencies
from proxy.ecosystems.kept import Kept, encoded, key

_NEEDS = (b"Depends", b"Imports", b"LinkingTo")


def made(index: Index, body: Body, specs: Iterable[Sequence[str]]) -> bytes:
    """The table of all lists of *specs*. Raises BadIndex, and ValueError for a malformed spec."""
    by_name: dict[str, list[Package]] = {}
    for package in packages.listed(index, unpacked(body.content)):
        by_name.setdefault(package.name.lower(), []).append(package)
    folder = packages.contrib_of(index)
    return encoded({key(texts): list(_closed(by_name, texts, folder)) for texts in specs})


def _closed(by_name: dict[str, list[Package]], texts: Sequence[str], folder: str) -> Iterator[Kept]:
    waiting: deque[tuple[Spec, str | None]] = deque((Spec.of(text), None) for text in texts)
    asked: set[Spec] = set()
    kept: set[int] = set()
    while waiting:
        spec, through = waiting.popleft()
        for package in by_name.get(spec.name.lower(), ()):
            if id(package) in kept or not spec.matches(package.version):
                continue
            kept.add(id(package))
            yield _kept(package, folder, through)
            for needed in _needs(package):
                if needed not in asked:
                    asked.add(needed)
                    waiting.append((needed, f"{package.name} {package.version}"))


def _needs(package: Package) -> Iterator[Spec]:
    for field in _NEEDS:
        yield from dependencies(package.text(field) or "")


def _kept(package: Package, folder: str, through: str | None) -> Kept:
    return Kept(
        identity=package.identity,
        subdir=folder,
        filename=package.filename,
        name=package.name,
        version=package.version,
        through=through,
    )
