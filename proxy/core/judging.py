"""Policies made into tests of records: compiled once, then run 600,000 times.

An ecosystem says how each leaf condition is tested on a record of its own (`leaf`); here they are
put together. A test, or a whole condition, that is the same for all records at hand (those of one
name, say) is a constant and is worked out only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from proxy.core.policy import (
    UNRULED,
    All,
    AnyOf,
    Condition,
    Effect,
    Leaf,
    Not,
    Policy,
    Rule,
    Verdict,
)
from proxy.core.policy_text import described

R = TypeVar("R")

Truth = bool | None
"""Of Kleene's logic: None where it can't be known."""

Test = Callable[[R], Truth]
Node = Truth | Callable[[Any], Truth]
"""A test, or its result where it is the same for all records."""

Judge = Callable[[R], Verdict]


class Screened:
    """A test that can be made of many records at once: `suspects` gives the places of those for
    which it may not be False, for a tenth of what it takes to test each.
    """

    __slots__ = ("suspects", "test")

    def __init__(
        self,
        test: Callable[[Any], Truth],
        suspects: Callable[[Sequence[Any]], Iterable[int]],
    ) -> None:
        self.test = test
        self.suspects = suspects

    def __call__(self, record: Any) -> Truth:
        return self.test(record)


class Stepwise:
    """The verdict of the first rule that holds for a record."""

    __slots__ = ("_last", "_rules", "_screens")

    def __init__(
        self, steps: Sequence[tuple[Verdict, Callable[[Any], Truth]]], last: Verdict
    ) -> None:
        """*steps* in order; *last* is the verdict where none of them holds."""
        self._last = last
        # What a test gives when its rule does not hold: of two values one is enough to compare to.
        self._rules = [
            (
                test.test if isinstance(test, Screened) else test,
                verdict,
                verdict.effect is not Effect.DENY,
            )
            for verdict, test in steps
        ]
        screens = [test.suspects for _, test in steps if isinstance(test, Screened)]
        self._screens = screens if len(screens) == len(steps) else None

    def __call__(self, record: Any) -> Verdict:
        for test, verdict, lets_through in self._rules:
            truth = test(record)
            if truth or (truth is None and not lets_through):
                return verdict
        return self._last

    def suspects(self, records: Sequence[Any]) -> Iterable[int]:
        """The places of those among *records* that may not be let through."""
        if self._screens is None or self._last.effect is Effect.DENY:
            return range(len(records))
        return sorted(set().union(*[suspects(records) for suspects in self._screens]))


class Cautious(Stepwise):
    """The same where some of the rules warn: in doubt one holds, unless a later one refuses."""

    __slots__ = ()

    def __call__(self, record: Any) -> Verdict:
        warning: Verdict | None = None
        for test, verdict, lets_through in self._rules:
            truth = test(record)
            if truth is False or (truth is None and verdict.effect is Effect.ALLOW):
                continue
            if truth is None and lets_through:
                warning = warning or verdict
                continue
            return _decided(verdict, warning)
        return _decided(self._last, warning)


def _decided(verdict: Verdict, warning: Verdict | None) -> Verdict:
    return verdict if verdict.hides or warning is None else warning


Tester = Callable[[Leaf, bool], Node]
"""Says how a leaf is tested. The flag: a choice that the file leaves to its user ("MIT or GPL")
may be made in favour of the leaf; else the leaf holds only if there is no way around it. So a
choice never counts against a file."""


class Compiler:
    """Makes judges out of one policy, for as many groups of records as there are."""

    def __init__(self, policy: Policy) -> None:
        self._rules = [(rule, verdict_of(rule)) for rule in policy.in_order]
        self._last = default_of(policy)

    def judge(self, leaf: Tester) -> Stepwise | Verdict:
        """The verdict where it is the same for all records of a group, else what gives it."""
        steps: list[tuple[Verdict, Callable[[Any], Truth]]] = []
        for rule, verdict in self._rules:
            node = node_of(rule.condition, leaf, may=rule.effect is Effect.ALLOW)
            if node is None and verdict.effect is Effect.WARN:
                steps.append((verdict, _unknown))
            elif callable(node):
                steps.append((verdict, node))
            elif _holds(verdict, node):
                return self._stepwise(steps, verdict) if steps else verdict
        return self._stepwise(steps, self._last) if steps else self._last

    def _stepwise(
        self, steps: Sequence[tuple[Verdict, Callable[[Any], Truth]]], last: Verdict
    ) -> Stepwise:
        warns = any(verdict.effect is Effect.WARN for verdict, _ in steps)
        return Cautious(steps, last) if warns else Stepwise(steps, last)

    def hides_all(self, leaf: Tester) -> bool:
        """Whether every record of a group is hidden, whatever it says."""
        for rule, verdict in self._rules:
            node = node_of(rule.condition, leaf, may=rule.effect is Effect.ALLOW)
            if callable(node):
                if not verdict.hides:
                    return False
            elif _holds(verdict, node):
                return verdict.hides
        return self._last.hides


def compiled(policy: Policy, leaf: Tester) -> Stepwise | Verdict:
    """The verdict of *policy* where it is the same for all records, else what gives it."""
    return Compiler(policy).judge(leaf)


def verdict_of(rule: Rule) -> Verdict:
    """What *rule* says of a file for which it holds."""
    reason = rule.reason or described(rule.condition)
    return Verdict(effect=rule.effect, rule=rule.name, reason=reason)


def default_of(policy: Policy) -> Verdict:
    """What *policy* says of a file for which no rule holds."""
    if policy.default is Effect.ALLOW:
        return UNRULED
    reason = f"only what the policy {policy.name} names is allowed"
    return Verdict(effect=policy.default, rule="default", reason=reason)


def node_of(condition: Condition, leaf: Tester, *, may: bool) -> Node:
    """*condition* as one test, with constants worked out; *may*: see `Tester`."""
    match condition:
        case All(of=several):
            return _conjunction([node_of(one, leaf, may=may) for one in several])
        case AnyOf(of=several):
            return _negated(
                _conjunction([_negated(node_of(one, leaf, may=may)) for one in several])
            )
        case Not(of=one):
            return _negated(node_of(one, leaf, may=not may))
        case _:
            return leaf(condition, may)


def _conjunction(nodes: Sequence[Node]) -> Node:
    constants = [node for node in nodes if not callable(node)]
    tests = [node for node in nodes if callable(node)]
    if False in constants:
        return False
    constant: Truth = None if None in constants else True
    if not tests:
        return constant
    if len(tests) == 1 and constant is True:
        return tests[0]

    def every(record: Any) -> Truth:
        result = constant
        for test in tests:
            truth = test(record)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    return every


def _negated(node: Node) -> Node:
    if not callable(node):
        return None if node is None else not node
    test = node

    def negated(record: Any) -> Truth:
        truth = test(record)
        return None if truth is None else not truth

    return negated


def _holds(verdict: Verdict, truth: Truth) -> bool:
    """In doubt nothing is let through and everything is refused."""
    return truth is not False if verdict.hides else truth is True


def _unknown(_: Any) -> Truth:
    return None
