"""Which mirrors a policy fits: what they cannot do of it, and what of it is likely to be a mistake.

Each is a whole message that begins with the line, as those about a file that is malformed do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from proxy.config.policies import EXCLUDE
from proxy.core.policy import Effect, Leaf, Policy, Rule, Vulnerable, leaves
from proxy.core.policy_sense import contradictions, never_asked
from proxy.core.policy_text import day, described
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import Ecosystem
from proxy.errors import ConfigError

_UNADVISED = (
    "of no package it would be known whether it has vulnerabilities; set osv under [advisories]"
)


def misfits(policy: Policy, kind: str, *, advised: bool = True) -> Iterator[str]:
    """What mirrors of type *kind* cannot do of *policy*, and what to write instead, each once.

    *advised*: it is known where advisories are.
    """
    yield from dict.fromkeys(_misfits(policy, kind))
    if not advised:
        yield from dict.fromkeys(_asking_of_vulnerabilities(policy, kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Which types of mirrors a policy fits, why not the others, and what of it is doubtful."""

    types: tuple[str, ...]
    problems: Mapping[str, tuple[str, ...]]
    doubts: tuple[str, ...]


def fit(policy: Policy) -> Fit:
    """How *policy*, which no mirror has yet, would do. Raises ConfigError where a rule is wrong for
    a type that it names itself.
    """
    if never := list(never_fitting(policy)):
        raise ConfigError("\n".join(never))
    found = {kind: tuple(misfits(policy, kind)) for kind in ECOSYSTEMS if kind != "files"}
    types = tuple(kind for kind, problems in found.items() if not problems)
    return Fit(
        types=types,
        problems={kind: problems for kind, problems in found.items() if problems},
        doubts=tuple(doubts(policy, types)),
    )


def check_fits(policy: Policy, kind: str, *, advised: bool) -> None:
    """Raises ConfigError with all that mirrors of type *kind* cannot do; see `misfits`."""
    if problems := list(misfits(policy, kind, advised=advised)):
        raise ConfigError("\n".join(problems))


def never_fitting(policy: Policy) -> Iterator[str]:
    """What no mirror can do of *policy*, each once: what is wrong for a type that its rule names
    itself.
    """
    found = (
        misfit
        for rule in policy.in_order
        for kind in sorted(rule.types)
        for misfit in misfits(replace(policy, overrides=(), rules=(rule,)), kind)
    )
    yield from dict.fromkeys(found)


def doubts(policy: Policy, kinds: Iterable[str]) -> Iterator[str]:
    """What in *policy* is likely to be a mistake: for mirrors of none of *kinds* it could hold, or
    it can never matter.
    """
    yield from dict.fromkeys((*_odd(policy, tuple(kinds)), *_contradicting(policy)))
    for rule, before in never_asked(policy):
        decided = f"rule {before.name} ({_place(policy, before)}) decides about every file before"
        yield f"{_place(policy, rule)}: rule {rule.name}: can never matter: {decided}"


def ended(policy: Policy, now: float) -> Iterator[str]:
    """Which rules of *policy* no longer hold at *now*, seconds since the epoch."""
    for rule in policy.in_order:
        if rule.expires is not None and rule.expires <= now:
            over = f"ended on {day(rule.expires)}: it no longer holds"
            yield f"{_place(policy, rule)}: rule {rule.name}: {over}"


def _odd(policy: Policy, kinds: Sequence[str]) -> Iterator[str]:
    for rule in policy.in_order:
        meant = [ECOSYSTEMS[kind] for kind in kinds if not rule.types or kind in rule.types]
        for leaf, place in _placed(policy, rule):
            found = [ecosystem.doubtful(leaf) for ecosystem in meant]
            if all(found):
                yield from (f"{place}: rule {rule.name}: {one}" for one in found)


def _contradicting(policy: Policy) -> Iterator[str]:
    for rule in policy.in_order:
        for pair in contradictions(rule.condition):
            placed = _placed(policy, rule)
            _, second = (place for leaf, place in placed if any(leaf is one for one in pair))
            both = " and ".join(map(described, pair))
            yield f"{second}: rule {rule.name}: no file is {both}"


def _misfits(policy: Policy, kind: str) -> Iterator[str]:
    ecosystem: Ecosystem = ECOSYSTEMS[kind]
    fitting = policy.at(0.0, kind)
    for rule in fitting.in_order:
        if rule.effect is Effect.WARN and kind != "pypi":
            hint = f'clients of {kind} mirrors print no warnings; write types = ["pypi"]'
            yield f"{_place(policy, rule)}: rule {rule.name}: {hint}"
        is_of_one_type = rule.types or rule.name == EXCLUDE
        hint = "" if is_of_one_type else " (or name the mirror types it is for: types = [...])"
        for leaf, place in _placed(policy, rule):
            if problem := ecosystem.wrong(leaf):
                yield f"{place}: rule {rule.name}: {problem}{hint}"


def _asking_of_vulnerabilities(policy: Policy, kind: str) -> Iterator[str]:
    """Where rules for mirrors of type *kind* cannot do without advisories.

    One that `fixes_vulnerability` excepts can: without them it excepts nothing.
    """
    fitting = policy.at(0.0, kind)
    for rule in fitting.in_order:
        for leaf, place in _placed(policy, rule):
            if isinstance(leaf, Vulnerable):
                yield f"{place}: rule {rule.name}: {_UNADVISED}"


def _place(policy: Policy, rule: Rule) -> str:
    """Where *rule* is written; those of a mirror's own lists stand in no policy's file."""
    return rule.where or f"policy {policy.name}"


def _placed(policy: Policy, rule: Rule) -> list[tuple[Leaf, str]]:
    """The conditions of *rule*, each with where it is written."""
    found = leaves(rule.condition)
    places = rule.places or (_place(policy, rule),) * len(found)
    return list(zip(found, places, strict=True))
