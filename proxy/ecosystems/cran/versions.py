"""Versions as R compares them, and what dependencies and rules say about them: `rlang (>= 1.0)`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(r"\d+(?:[.-]\d+)*", re.ASCII)
_SPEC = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._]*)\s*(?:\(([^()]*)\)\s*)?")
_BOUND = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d+(?:[.-]\d+)*)\s*", re.ASCII)
_COMPARED: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


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
    bounds: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @classmethod
    def of(cls, text: str) -> Spec:
        """Read `name`, `name (>= 1.0)` or `name (>= 1.0, < 2.0)`. Raises ValueError."""
        found = _SPEC.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no name with a version range; write ggplot2 (>= 3.5.0)")
        if found[2] is None:
            return cls(found[1])
        bounds = [_BOUND.fullmatch(one) for one in found[2].split(",")]
        known = tuple((bound[1], order(bound[2])) for bound in bounds if bound)
        if len(known) != len(bounds):
            raise ValueError(f"{text!r} has no version range such as (>= 1.0) or (>= 1.0, < 2.0)")
        return cls(found[1], known)

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
        return all(_COMPARED[sign](key, bound) for sign, bound in self.bounds)


def dependencies(text: str) -> Iterator[Spec]:
    """What a field such as `Imports` lists; what cannot be read leads nowhere, as in R."""
    for one in text.split(","):
        try:
            yield Spec.of(one)
        except ValueError:
            continue
