"""Functions that are named here and imported only where they are called: in another process.

A server that imported what its runs and prefetches need would start later and be larger by it,
solvers above all, although it never calls them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Elsewhere(Generic[P, R]):
    """The *function* of a *module*, as `proxy.mirror.checking` and `check`; goes over a pipe."""

    module: str
    function: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Import the module, and call it."""
        found: Callable[P, R] = getattr(importlib.import_module(self.module), self.function)
        return found(*args, **kwargs)
