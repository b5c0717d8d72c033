"""A policy's verdicts on the files of one project or folder, as of its moment and of later ones.

For a few files: what is the same for all that have one name is not worked out by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from proxy.core.judging import Node, Stepwise, compiled
from proxy.core.policy import Leaf, Policy, Verdict
from proxy.core.telling import Telling

R = TypeVar("R")


class Verdicts(Generic[R]):
    """What *policy*, of a mirror of type *kind*, says as of *moment* (seconds since the epoch)."""

    def __init__(
        self,
        policy: Policy,
        kind: str,
        moment: float,
        *,
        leaf: Callable[[float, Leaf, bool], Node],
        telling: Telling[R],
    ) -> None:
        """*leaf*: see `proxy.core.judging.Tester`, of a moment; *telling* completes verdicts."""
        self._policy = policy
        self._kind = kind
        self._moment = moment
        self._leaf = leaf
        self._telling = telling
        self._judges: dict[float, Stepwise | Verdict] = {}

    def on(self, record: R) -> Verdict:
        """The verdict on *record*, with what only its file is told."""
        return self._telling.told(self._as_of(self._moment, record), record, self._as_of)

    def _as_of(self, moment: float, record: R) -> Verdict:
        """What the rules that hold then will say of it."""
        judge = self._judges.get(moment)
        if judge is None:
            is_later = moment > self._moment
            policy = self._policy.at(moment, self._kind) if is_later else self._policy
            judge = self._judges[moment] = compiled(policy, partial(self._leaf, moment))
        return judge if isinstance(judge, Verdict) else judge(record)
