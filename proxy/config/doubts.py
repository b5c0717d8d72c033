"""What of a configuration is likely to be a mistake, although nothing is wrong with it.

Only what would have no effect, or one that nobody wants, and would never be told.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from proxy.config.fitting import doubts
from proxy.core.model import Mirror
from proxy.core.policy import Policy

LEAST = 10_000_000
"""Bytes of a cache: fewer hold hardly any package."""


def doubts_of(
    sections: Mapping[str, Mapping[str, Any]],
    origins: Mapping[str, str],
    policies: Iterable[Policy],
    mirrors: Sequence[Mirror],
) -> Iterator[str]:
    """Whole messages; *sections* are checked values, *origins* says where each of them stands."""
    for dotted, doubt in (
        *(("cache.max_size", one) for one in _of_room(sections["cache"]["max_size"])),
        *(("access.public", one) for one in _of_access(sections["access"]["public"], mirrors)),
    ):
        yield f"{origins[dotted]}: {dotted}: {doubt}"
    for policy in sorted(policies, key=attrgetter("name")):
        having = (one for one in mirrors if one.policy and one.policy.name == policy.name)
        yield from doubts(policy, sorted({one.type for one in having}))


def _of_room(size: int | None) -> Iterator[str]:
    if size is not None and size < LEAST:
        yield f'{size} bytes have hardly room for a package; a unit makes it more, such as "100GB"'


def _of_access(public: Sequence[str], mirrors: Sequence[Mirror]) -> Iterator[str]:
    """A pattern may be for mirrors to come; a name that is none closes what it was to open."""
    keys = [mirror.key for mirror in mirrors]
    for name in public:
        if name in keys or "*" in name or "?" in name:
            continue
        near = difflib.get_close_matches(name, keys, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(keys)}"
        yield f"no mirror is called {name}: {hint}"
