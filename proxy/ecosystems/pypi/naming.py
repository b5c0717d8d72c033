"""Which projects a policy hides by their names alone, whatever their pages list.

For the list of all projects, of which nothing else is known: a project that is hidden for another
reason is listed there, and its page is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy.core.judging import Node, Truth, node_of
from proxy.core.policy import Effect, Leaf, Names, Policy, Specs
from proxy.ecosystems.pypi.names import normalised


def hiding(policy: Policy | None) -> Callable[[str], bool] | None:
    """Whether a project is hidden, by its name as it is spelt; None: none is for its name."""
    if policy is None or not any(isinstance(leaf, Names | Specs) for leaf in policy.leaves):
        return None
    steps = [
        (node_of(rule.condition, _leaf, may=rule.effect is Effect.ALLOW), rule.effect)
        for rule in policy.in_order
    ]
    last = policy.default is Effect.DENY

    def hides(spelt: str) -> bool:
        name = normalised(spelt)
        if name is None:
            return False
        for node, effect in steps:
            truth = node(name) if callable(node) else node
            # What only a project's files could tell may let some of them through, or hide some.
            if truth or (truth is None and effect is not Effect.DENY):
                return truth is True and effect is Effect.DENY
        return last

    return hides


def _leaf(leaf: Leaf, _: bool) -> Node:  # noqa: FBT001 - see `Tester`
    match leaf:
        case Names(patterns=patterns):
            return _named(patterns)
        case Specs(texts=texts):
            return _specified(texts)
        case _:
            return None


def _named(patterns: tuple[str, ...]) -> Callable[[str], Truth]:
    spelt = (one.lower().replace("_", "-").replace(".", "-") for one in patterns)  # PEP 503
    match_ = re.compile("|".join(map(translate, spelt))).match
    return lambda name: match_(name) is not None


def _specified(texts: tuple[str, ...]) -> Callable[[str], Truth]:
    """None: some of its versions are."""
    found: dict[str, Truth] = {}
    for spec in map(Requirement, texts):
        name = canonicalize_name(spec.name)
        found[name] = True if not spec.specifier else found.get(name)
    return lambda name: found.get(name, False)
