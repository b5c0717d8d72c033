"""What in a policy can never matter, as far as the policy alone proves it.

Nothing is guessed of what an index may say: what is found here is so whatever the files are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from proxy.core.policy import (
    All,
    AnyOf,
    Condition,
    LargerThan,
    Leaf,
    Names,
    Not,
    OlderThan,
    Policy,
    Rule,
    SmallerThan,
    YoungerThan,
)


def never_asked(policy: Policy) -> Iterator[tuple[Rule, Rule]]:
    """The rules that decide about no file, each with the one before it that has decided already."""
    decisive: list[Rule] = []
    for rule in policy.in_order:
        before = next((one for one in decisive if _covers(one, rule)), None)
        if before is not None:
            yield rule, before
        elif holds_always(rule.condition):
            decisive.append(rule)


def holds_always(condition: Condition) -> bool:
    """Whether *condition* is sure to hold for every file of every mirror."""
    match condition:
        case All(of=several):
            return all(map(holds_always, several))
        case AnyOf(of=several):
            return any(map(holds_always, several))
        case Names(patterns=patterns):  # every file has one
            return any(set(one) == {"*"} for one in patterns)
        case _:
            return False


def contradictions(condition: Condition) -> Iterator[tuple[Leaf, Leaf]]:
    """Conditions that must hold together, in *condition* or a part of it, and cannot."""
    match condition:
        case All():
            together = list(_together(condition))
            leaves = [one for one in together if not isinstance(one, All | AnyOf | Not)]
            yield from (pair for pair in product(leaves, leaves) if _exclude(*pair))
            for one in together:
                yield from contradictions(one)
        case AnyOf(of=several):
            for one in several:
                yield from contradictions(one)
        case Not(of=one):
            yield from contradictions(one)


def _covers(rule: Rule, later: Rule) -> bool:
    """Whether *rule* is there wherever and whenever *later* is."""
    is_for_its_types = not rule.types or (bool(later.types) and later.types <= rule.types)
    outlives = rule.expires is None or (later.expires is not None and later.expires <= rule.expires)
    return is_for_its_types and outlives


def _together(condition: All) -> Iterator[Condition]:
    """What must hold for *condition* to hold: groups of its own kind are no step."""
    for one in condition.of:
        if isinstance(one, All):
            yield from _together(one)
        else:
            yield one


def _exclude(one: Leaf, other: Leaf) -> bool:
    match one, other:
        case YoungerThan(seconds=younger), OlderThan(seconds=older):
            return younger <= older
        case LargerThan(size=larger), SmallerThan(size=smaller):
            return larger >= smaller
        case _:
            return False
