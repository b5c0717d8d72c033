"""What a run of an active mirror wants of what an index lists. Pure.

The policy speaks first: what it hides is never wanted. Of what is left the scope takes what it
names, of that the newest versions of each package, and of all indexes together, newest files
first, no more bytes than the size limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from proxy.core.active import Scope
from proxy.core.policy import (
    AnyOf,
    Condition,
    Effect,
    Kinds,
    Not,
    Platforms,
    Policy,
    Rule,
    Specs,
)

NewestFirst = Callable[[Iterable[str]], Sequence[str]]
"""Puts the versions of one package in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A file that an index lists: `row` is its key there.

    `denied` is the rule of the policy that hides it, `beyond` the part of the scope that leaves it
    out, each with its reason; None: nothing does. `until`: see `Row`.
    """

    row: str
    name: str
    version: str
    published: float | None = None
    size: int | None = None
    denied: tuple[str, str] | None = None
    until: int | None = None
    beyond: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An offer, and whether it is wanted: neither `denied` nor `beyond`."""

    offer: Offer
    beyond: tuple[str, str] | None = None

    @property
    def is_wanted(self) -> bool:
        return self.offer.denied is None and self.beyond is None


def planned(
    offers: Sequence[Offer], newest: int | None, newest_first: NewestFirst
) -> Iterator[Planned]:
    """What becomes of each of *offers*, in order; of each package the *newest* versions."""
    kept = None if newest is None else _newest(offers, newest, newest_first)
    for offer in offers:
        beyond = offer.beyond
        is_allowed = offer.denied is None and beyond is None
        if kept is not None and is_allowed and offer.version not in kept[offer.name]:
            beyond = "newest", f"not one of the newest {newest} versions that are allowed"
        yield Planned(offer=offer, beyond=beyond)


def _newest(
    offers: Sequence[Offer], newest: int, newest_first: NewestFirst
) -> dict[str, frozenset[str]]:
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for offer in offers:
        if offer.denied is None and offer.beyond is None:
            versions[offer.name].add(offer.version)
    return {
        name: frozenset(known if len(known) <= newest else newest_first(known)[:newest])
        for name, known in versions.items()
    }


def oversize(sizes: Iterable[tuple[str, int | None]], limit: int) -> Iterator[str]:
    """Of files with their *sizes*, first those to keep first, the ones that *limit* leaves out.

    A file that does not fit is passed over, and smaller ones after it may still fit; one whose
    size nobody knows takes no room.
    """
    taken = 0
    for path, size in sizes:
        if size is None:
            continue
        if taken + size > limit:
            yield path
        else:
            taken += size


def policy_of(scope: Scope, kind: str) -> Policy:
    """*scope*, as far as it looks at single files, as a policy for mirrors of type *kind*."""
    rules: list[Rule] = []
    if scope.platforms and kind == "pypi":  # elsewhere each platform has indexes of its own
        built = AnyOf((Platforms(scope.platforms), Kinds(("sdist",))))
        rules.append(_outside("platforms", built, "not for the platforms of this mirror"))
    if scope.specs:
        specs = Specs(scope.specs, dependencies=scope.dependencies)
        needed = " or what they need" if scope.dependencies else ""
        rules.append(_outside("specs", specs, f"none of the specs of this mirror{needed}"))
    return Policy(name="scope", rules=tuple(rules))


def _outside(name: str, condition: Condition, reason: str) -> Rule:
    return Rule(name=name, effect=Effect.DENY, condition=Not(condition), reason=reason)
