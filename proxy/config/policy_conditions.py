"""The conditions that a policy file may write, declared once: read by it, listed in the guide."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config.kinds import DEADLINE, FLAG, LONGEST, NAMES, TEXTS, Kind, spelt
from proxy.core.policy import (
    Builds,
    FixesVulnerability,
    Kinds,
    LargerThan,
    Leaf,
    Licences,
    Names,
    NeedsCompilation,
    OlderThan,
    Platforms,
    SmallerThan,
    Specs,
    Statuses,
    Tags,
    Vulnerable,
    Yanked,
    YoungerThan,
)

_SIZES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([a-z]*)", re.IGNORECASE)
_VULNERABILITY = ("score", "status")
_VULNERABLE = Vulnerable()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionKey:
    """One key of a condition's table: what may be written there, and what it says."""

    name: str
    kind: Kind
    make: Callable[[Any], Leaf]
    help: str


def _some(value: Any) -> tuple[str, ...]:
    return _filled(TEXTS.read(value))


def _filled(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise ValueError("write at least one: an empty list says nothing of any file")
    return texts


def _names(value: Any) -> tuple[str, ...]:
    return _filled(NAMES.read(value))


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _SIZES:
        raise ValueError('write bytes, or a text with a unit, such as "500 MB" or "2 GiB"')
    return int(float(found[1]) * _SIZES[found[2].lower()])


def _age(value: Any) -> float:
    """A number alone is a number of seconds in other settings, and of days to who writes this."""
    if isinstance(value, str) and value.strip()[-1:].isalpha():
        with contextlib.suppress(ValueError):
            seconds: float = DEADLINE.read(value)
            return seconds
    raise ValueError(
        'write a text with a unit (m, h, d or w), such as "12h" or "7d": more than 0, and '
        f"{spelt(LONGEST)} at the most"
    )


def _vulnerability(value: Any) -> Vulnerable:
    if value is True:
        return _VULNERABLE
    if not isinstance(value, dict) or not value or not value.keys() <= set(_VULNERABILITY):
        raise ValueError('write true, or a table such as { score = 7.0, status = ["active"] }')
    score = value.get("score", 0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 10:
        raise ValueError("write a score from 0 to 10")
    statuses = _some(value.get("status", list(_VULNERABLE.statuses)))
    if unknown := sorted(set(statuses) - set(STATUSES)):
        raise ValueError(f"{unknown[0]!r} is no status; known are {', '.join(STATUSES)}")
    return Vulnerable(float(score), statuses)


STATUSES = ("active", "reported", "mitigated", "cleared", "disputed")
"""The states of a vulnerability."""

SOME = Kind("list of texts", _some)
SOME_NAMES = Kind("list of texts", _names)
AGE = Kind("duration with a unit", _age)
SIZE = Kind("size", _size)
_VULNERABILITY_KIND = Kind("true, or table of `score` and `status`", _vulnerability)

CONDITIONS = (
    ConditionKey(
        name="names",
        kind=SOME_NAMES,
        make=Names,
        help="The package's name is like one of them; `*` and `?` stand for any characters.",
    ),
    ConditionKey(
        name="specs",
        kind=SOME,
        make=Specs,
        help="One of them matches: MatchSpec (conda), requirement (pypi), `name (>= 1.0)` (cran).",
    ),
    ConditionKey(
        name="platforms",
        kind=SOME,
        make=Platforms,
        help="It is for a platform like one of them: a subdir (conda), a wheel's platform tag.",
    ),
    ConditionKey(
        name="tags",
        kind=SOME,
        make=Tags,
        help="It is a wheel with a tag like one of them, such as `cp312-*-win_amd64`.",
    ),
    ConditionKey(
        name="builds",
        kind=SOME,
        make=Builds,
        help="Its build string (conda) is like one of them.",
    ),
    ConditionKey(
        name="kinds",
        kind=SOME,
        make=Kinds,
        help="It is of such a kind: `conda`, `tar.bz2`, `wheel`, `sdist`, `other`, `source`, "
        "`binary`.",
    ),
    ConditionKey(
        name="licences",
        kind=SOME,
        make=lambda texts: Licences(ids=texts),
        help="It is under a licence like one of them (SPDX ids, with `*`).",
    ),
    ConditionKey(
        name="licence_families",
        kind=SOME,
        make=lambda texts: Licences(families=texts),
        help="It is under a licence of one of these families, such as `AGPL` or `GPL3`.",
    ),
    ConditionKey(
        name="younger_than",
        kind=AGE,
        make=YoungerThan,
        help="It appeared less than so long ago.",
    ),
    ConditionKey(
        name="older_than",
        kind=AGE,
        make=OlderThan,
        help="It appeared more than so long ago.",
    ),
    ConditionKey(
        name="larger_than",
        kind=SIZE,
        make=LargerThan,
        help="It has more bytes; `500 MB`, `2 GiB`.",
    ),
    ConditionKey(name="smaller_than", kind=SIZE, make=SmallerThan, help="It has fewer bytes."),
    ConditionKey(
        name="yanked",
        kind=FLAG,
        make=Yanked,
        help="Its maintainers have withdrawn it, or have not (PEP 592).",
    ),
    ConditionKey(
        name="status",
        kind=SOME,
        make=Statuses,
        help="Its project has one of these states (PEP 792), such as `archived`.",
    ),
    ConditionKey(
        name="vulnerability",
        kind=_VULNERABILITY_KIND,
        make=lambda leaf: leaf,
        help="It has a known vulnerability of that CVSS score or more, in one of those states.",
    ),
    ConditionKey(
        name="fixes_vulnerability",
        kind=FLAG,
        make=FixesVulnerability,
        help="It is the version that fixes a known vulnerability, and has none itself.",
    ),
    ConditionKey(
        name="needs_compilation",
        kind=FLAG,
        make=NeedsCompilation,
        help="It has code to be compiled (cran), or has none.",
    ),
)
"""Every key but those that hold other conditions, `all`, `any` and `not`."""

BY_NAME: Mapping[str, ConditionKey] = {key.name: key for key in CONDITIONS}
