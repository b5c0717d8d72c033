"""Policies for tests: short to write, and random ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from proxy.core.policy import (
    All,
    AnyOf,
    Condition,
    Effect,
    LargerThan,
    Leaf,
    Names,
    Not,
    Platforms,
    Policy,
    Rule,
    SmallerThan,
    Specs,
    YoungerThan,
)
from proxy.ecosystems.base import Context

MOMENT = 1_700_000_000.0
DAY = 86400.0


def deny(condition: Condition, name: str = "no", reason: str | None = None) -> Rule:
    return Rule(name=name, effect=Effect.DENY, condition=condition, reason=reason)


def allow(condition: Condition, name: str = "yes") -> Rule:
    return Rule(name=name, effect=Effect.ALLOW, condition=condition)


def warn(condition: Condition, name: str = "careful", reason: str | None = None) -> Rule:
    return Rule(name=name, effect=Effect.WARN, condition=condition, reason=reason)


def policy(*rules: Rule, **more: object) -> Policy:
    return replace(Policy(name="test", rules=rules), **more)  # type: ignore[arg-type]


def under(context: Context, *rules: Rule, **more: object) -> Context:
    """*context* with a policy of *rules*."""
    return replace(context, policy=policy(*rules, **more), moment=MOMENT, seen_at=MOMENT)


def random_policies(names: list[str], specs: list[str], *more: Leaf) -> st.SearchStrategy[Policy]:
    """Policies over packages called *names*, with *more* conditions of one type of mirror."""
    leaf = st.one_of(
        st.builds(Names, st.lists(st.sampled_from([*names, "*", "?*"]), min_size=1).map(tuple)),
        st.builds(Specs, st.lists(st.sampled_from(specs), min_size=1).map(tuple)),
        st.builds(LargerThan, st.integers(0, 2000)),
        st.builds(SmallerThan, st.integers(0, 2000)),
        st.builds(YoungerThan, st.sampled_from([DAY, 30 * DAY, 9000 * DAY])),
        st.builds(Platforms, st.sampled_from([("linux-64",), ("noarch", "any"), ("*",)])),
        *map(st.just, more),
    )
    conditions: st.SearchStrategy[Condition] = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(All, st.lists(inner, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=4,
    )
    rules = st.builds(
        Rule,
        name=st.sampled_from(["one", "two", "three"]),
        effect=st.sampled_from(Effect),
        condition=conditions,
        expires=st.none() | st.sampled_from([MOMENT + 5 * DAY, MOMENT + 50 * DAY]),
    )
    overrides = st.builds(
        Rule,
        name=st.just("over"),
        effect=st.just(Effect.ALLOW),
        condition=conditions,
        expires=st.none() | st.just(MOMENT + 5 * DAY),
    )
    return st.builds(
        Policy,
        name=st.just("random"),
        rules=st.lists(rules, max_size=4).map(tuple),
        overrides=st.lists(overrides, max_size=1).map(tuple),
        default=st.sampled_from([Effect.ALLOW, Effect.DENY]),
    )
