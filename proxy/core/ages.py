"""Ages move on in steps; when a file that is too new will be old enough, as far as that is known.

What is promised to people must come true: of each moment at which an age may make a difference the
file is judged as of then, by all rules that will still be there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from proxy.core.policy import Effect, OlderThan, Policy, Verdict, YoungerThan, leaves

STEP = 3600.0
"""Seconds for which the ages of files stand still."""

LATEST = 253402300799
"""The end of the year 9999, in seconds since the epoch: later moments cannot be written."""


def stepped(now: float) -> float:
    """The moment that ages are reckoned from at *now*; both in seconds since the epoch."""
    return math.floor(now / STEP) * STEP


class Ages:
    """The times of one policy, as of one moment (seconds since the epoch)."""

    def __init__(self, policy: Policy, moment: float) -> None:
        ages = [leaf for leaf in policy.leaves if isinstance(leaf, YoungerThan | OlderThan)]
        self.delays = sorted({leaf.seconds for leaf in ages})
        self._moment = moment
        self._yielding = _yielding(policy)

    def may_yield(self, verdict: Verdict) -> bool:
        """Whether there may be files on which *verdict* will be another one by their age alone."""
        return verdict.effect is not Effect.ALLOW and verdict.rule in self._yielding

    def end(
        self, verdict: Verdict, published: float, as_of: Callable[[float], Verdict]
    ) -> int | None:
        """The first moment to come as of which the file, known since *published*, is not refused,
        or not warned of, any more; None: that cannot be told. *as_of* judges the file.
        """
        if published + self.delays[-1] < self._moment:
            return None
        for then in self._moments(published):
            effect = as_of(then).effect
            if effect is Effect.ALLOW or (verdict.hides and effect is Effect.WARN):
                return int(then)
        return None

    def _moments(self, published: float) -> list[float]:
        """Those to come at which the file reaches an age that a rule looks at, by the step."""
        turns = (published + delay for delay in self.delays)
        turns = (turn for turn in turns if self._moment <= turn < LATEST - STEP)
        # With an age of exactly so much a file is not too young any more, and not too old yet.
        found = {
            step * STEP
            for turn in turns
            for step in (math.ceil(turn / STEP), math.floor(turn / STEP) + 1)
        }
        return sorted(moment for moment in found if moment > self._moment)


def _yielding(policy: Policy) -> frozenset[str]:
    """The rules whose word on a file may not be the last: they look at its age, or come after one
    that does and lets it through.
    """
    found: set[str] = set()
    lets_through = False
    for rule in policy.in_order:
        is_dated = any(isinstance(one, YoungerThan | OlderThan) for one in leaves(rule.condition))
        if is_dated or lets_through:
            found.add(rule.name)
        lets_through = lets_through or (is_dated and rule.effect is not Effect.DENY)
    return frozenset({*found, "default"} if lets_through else found)
