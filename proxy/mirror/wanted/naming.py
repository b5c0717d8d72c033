"""What the choices of a prefetch are called where somebody makes them: messages say it so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The names of its choices, as they are written there."""

    platform: str
    python: str
    mirror: str
    form: str


OPTIONS = Naming(platform="--platform", python="--python", mirror="--mirror", form="--format")
"""Those of `pkgproxy prefetch`."""

KEYS = Naming(platform="platforms", python="pythons", mirror="mirrors", form="format")
"""Those of a wish (`proxy.mirror.prefetching.Wish`) and of the files in it."""
