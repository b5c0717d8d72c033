"""Which of a version's files a machine installs: the best wheel for it, else the sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from proxy.mirror.wanted.targets import Target


def wheels_for(filenames: Iterable[str], target: Target) -> tuple[str, ...]:
    """The wheel that each age of machine takes, without repetition, that of the newest first.

    Nothing where the newest machine takes none of them. Build tags break ties (PEP 427).
    """
    tagged = {name: read for name in filenames if (read := _read(name)) is not None}
    ages = target.ages()
    found = [_best(tagged, ranks) for ranks in ages]
    if not found or found[0] is None:
        return ()
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _read(filename: str) -> tuple[tuple[()] | tuple[int, str], frozenset[Tag]] | None:
    try:
        _, _, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None  # pip does not take such a file, either
    return build, tags


def _best(
    tagged: Mapping[str, tuple[tuple[()] | tuple[int, str], frozenset[Tag]]],
    ranks: Mapping[Tag, int],
) -> str | None:
    best: tuple[int, tuple[()] | tuple[int, str]] | None = None
    chosen = None
    for name, (build, tags) in tagged.items():
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None and (best is None or (-rank, build) > best):
            best, chosen = (-rank, build), name
    return chosen
