"""What an organisation lets its people install, as plain values: no clock, no index, no syntax.

A policy is rules in order; the first that holds for a file decides. Overrides are looked at
before the rules and bring files back. What a condition can't know of a file is neither true nor
false (Kleene's logic): a rule that refuses then holds and one that allows does not, so that
nothing gets through because an index was silent.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import msgspec

from proxy.core.digest import Digest, digest_of


class Effect(enum.Enum):
    """What becomes of a file for which a rule holds."""

    ALLOW = "allow"
    DENY = "deny"
    WARN = "warn"  # listed with the reason, where clients have a place for it (PyPI's `yanked`)


class Blocked(enum.Enum):
    """What clients get for an index of one project of which nothing is left."""

    EMPTY = "empty"  # an empty page: with 404 resolvers would go on to the next index
    REFUSE = "refuse"  # 451 (RFC 7725) with the rule's reason


# -- conditions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class All:
    """Every one of them holds."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them holds."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    of: Condition


@dataclass(frozen=True, slots=True)
class Names:
    """The package's name (as the type normalises it) is like one of the patterns (`*`, `?`)."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Specs:
    """One of the specs matches: MatchSpec for conda, a requirement (PEP 508) for PyPI, a name
    with a version range in R's notation for CRAN.

    `dependencies`: or it is needed, directly or not, by what one of them matches.
    """

    texts: tuple[str, ...]
    dependencies: bool = False


@dataclass(frozen=True, slots=True)
class Platforms:
    """What it is made for is like one of the patterns: a subdir, a wheel's platform tag."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tags:
    """One of a wheel's tags (`cp312-abi3-win_amd64`) is like one of the patterns."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Builds:
    """The build string is like one of the patterns."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kind of file: `conda`, `tar.bz2`, `wheel`, `sdist`, `source`, `binary`, `other`."""

    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Licences:
    """SPDX ids (with wildcards) and Anaconda's families; see `proxy.core.licences.LicenceSet`."""

    ids: tuple[str, ...] = ()
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class YoungerThan:
    """Published less than so many seconds ago."""

    seconds: float


@dataclass(frozen=True, slots=True)
class OlderThan:
    """Published more than so many seconds ago."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LargerThan:
    """Of more than so many bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class SmallerThan:
    """Of less than so many bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Yanked:
    """Withdrawn by its maintainers, but still there (PEP 592)."""

    yanked: bool = True


@dataclass(frozen=True, slots=True)
class Statuses:
    """The project's status (PEP 792): `active`, `archived`, `quarantined`, `deprecated`."""

    statuses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vulnerable:
    """It has a known vulnerability with that CVSS score at least, in one of those states.

    An advisory without a score counts as one with any score.
    """

    score: float = 0.0
    statuses: tuple[str, ...] = ("active", "reported")


@dataclass(frozen=True, slots=True)
class FixesVulnerability:
    """It is the version in which a known vulnerability was fixed, and has none itself."""

    fixes: bool = True


@dataclass(frozen=True, slots=True)
class Malicious:
    """It is known to have been made to do harm (OSV's `MAL-…`)."""


@dataclass(frozen=True, slots=True)
class NeedsCompilation:
    """It has code that is compiled when it is installed (R)."""

    needs: bool = True


@dataclass(frozen=True, slots=True)
class Here:
    """It is stored here, verified (`proxy.core.here`)."""


Leaf = (
    Names
    | Specs
    | Platforms
    | Tags
    | Builds
    | Kinds
    | Licences
    | YoungerThan
    | OlderThan
    | LargerThan
    | SmallerThan
    | Yanked
    | Statuses
    | Vulnerable
    | FixesVulnerability
    | Malicious
    | NeedsCompilation
    | Here
)
Condition = All | AnyOf | Not | Leaf


def leaves(condition: Condition) -> tuple[Leaf, ...]:
    """All conditions in *condition* that are not made of others, in order."""
    match condition:
        case All(of=several) | AnyOf(of=several):
            return tuple(leaf for one in several for leaf in leaves(one))
        case Not(of=one):
            return leaves(one)
        case leaf:
            return (leaf,)


# -- rules -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named condition and what follows from it.

    `reason` is for people who are refused; None: the condition in words. `expires` is the
    moment (seconds since the epoch) from which the rule no longer holds. `types` are the mirror
    types it is for; empty: all. `where` it is written, and where (`places`) each of its conditions
    is, as `leaves` lists them, is for messages; empty: in no file.
    """

    name: str
    effect: Effect
    condition: Condition
    reason: str | None = None
    expires: float | None = None
    types: frozenset[str] = frozenset()
    where: str = field(default="", compare=False, repr=False)
    places: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says of one file, and which rule says it.

    `until`, in seconds since the epoch, is when the file will be old enough not to be refused, or
    not to be warned of, any more; None: it has no such end, or none that is known.
    """

    effect: Effect
    rule: str
    reason: str
    until: int | None = None

    @property
    def hides(self) -> bool:
        return self.effect is Effect.DENY

    @property
    def denied(self) -> tuple[str, str]:
        """What a row says of a file that it hides."""
        return self.rule, self.reason


MALICIOUS = Rule(
    name="malicious",
    effect=Effect.DENY,
    condition=Malicious(),
    reason="this release is known to be malicious",
)
"""The rule that comes before all others, overrides too, wherever advisories are known."""

ABSENT = Rule(
    name="offline",
    effect=Effect.DENY,
    condition=Not(Here()),
    reason="this mirror is offline, and the file is not here",
)
"""The rule of mirrors that are offline and list only what is here."""

UNLISTED = "unlisted"
"""What refuses a file that its index does not list, so that it cannot be judged."""

UNRULED = Verdict(effect=Effect.ALLOW, rule="default", reason="no rule speaks of it")
"""What holds where no rule does and the policy allows by default."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Rules in order, and what holds where none of them does.

    `description` is for people, and makes it no other policy. Its digest is part of every view's
    name.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    overrides: tuple[Rule, ...] = ()
    default: Effect = Effect.ALLOW
    blocked: Blocked = Blocked.EMPTY
    description: str = field(default="", compare=False)

    @cached_property
    def digest(self) -> Digest:
        """Names everything that a verdict depends on."""
        return digest_of(msgspec.json.encode(_plain(self)))

    @cached_property
    def in_order(self) -> tuple[Rule, ...]:
        """All of its rules, in the order in which they are asked."""
        return (*self.overrides, *self.rules)

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every condition that occurs in it."""
        return tuple(leaf for rule in self.in_order for leaf in leaves(rule.condition))

    @cached_property
    def is_dated(self) -> bool:
        """Whether its verdicts change with time."""
        return any(isinstance(leaf, YoungerThan | OlderThan) for leaf in self.leaves)

    def at(self, moment: float, kind: str) -> Policy:
        """The policy for mirrors of type *kind* at *moment*: without rules that are over."""

        def holds(rule: Rule) -> bool:
            current = rule.expires is None or moment < rule.expires
            return current and (not rule.types or kind in rule.types)

        return replace(
            self,
            rules=tuple(rule for rule in self.rules if holds(rule)),
            overrides=tuple(rule for rule in self.overrides if holds(rule)),
        )


def _plain(value: Any) -> Any:
    """What *value* is compared by, as JSON has it, with the names of the types, in one order."""
    match value:
        case enum.Enum():
            return value.value
        case tuple():
            return [_plain(one) for one in value]
        case frozenset():
            return sorted(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            compared = [one.name for one in fields(value) if one.compare]
            return [type(value).__name__, {name: _plain(getattr(value, name)) for name in compared}]
