"""Versions as R compares them, and what dependencies and rules say about them: `rlang (>= 1.0)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from proxy.core import r_bounds
from proxy.core.r_bounds import VERSION, Bounds

_VERSION = re.compile(VERSION, re.ASCII)
_SPEC = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._]*)\s*(?:\(([^()]*)\)\s*)?")


@lru_cache(maxsize=8192)
def order(version: str) -> tuple[int, ...]:
    """What R's `numeric_version` compares: 1.0 is before 1.0.0. Raises ValueError."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version of R's")
    try:
        return tuple(int(number) for number in re.split("[.-]", version))
    except ValueError as error:  # more digits than Python converts
        raise ValueError("a version has too many digits") from error


def newest_first(versions: Iterable[str]) -> list[str]:
    """In R's order; what is no version comes last."""

    def key(version: str) -> tuple[tuple[int, ...], str]:
        try:
            return order(version), version
        except ValueError:
            return (), version

    return sorted(versions, key=key, reverse=True)


@dataclass(frozen=True, slots=True)
class Spec:
    """A package's name with bounds on its version, all of which hold."""

    name: str
    bounds: Bounds = ()

    @classmethod
    def of(cls, text: str) -> Spec:
        """Read `name`, `name (>= 1.0)` or `name (>= 1.0, < 2.0)`. Raises ValueError."""
        found = _SPEC.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no name with a version range; write ggplot2 (>= 3.5.0)")
        if found[2] is None:
            return cls(found[1])
        bounds = r_bounds.read(found[2], order)
        if bounds is None:
            raise ValueError(f"{text!r} has no version range such as (>= 1.0) or (>= 1.0, < 2.0)")
        return cls(found[1], bounds)

    def is_for(self, name: str) -> bool:
        """No two packages of a repository differ in the case of their names alone."""
        return self.name.lower() == name.lower()

    def matches(self, version: str) -> bool | None:
        """Whether *version* is within the bounds; None where it cannot be compared."""
        if not self.bounds:
            return True
        try:
            key = order(version)
        except ValueError:
            return None
        return r_bounds.within(key, self.bounds)


def dependencies(text: str) -> Iterator[Spec]:
    """What a field such as `Imports` lists; what cannot be read leads nowhere, as in R."""
    for one in text.split(","):
        try:
            yield Spec.of(one)
        except ValueError:
            continue
