"""What the views of an index depend on besides its own bytes: names, policy, time, first sights.

A policy that looks at ages is applied as of a moment that moves on in steps, so that its views
keep their names for that long. A step is taken some time after it is due: meanwhile the views of
the next moment can be made, and nobody waits for them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from proxy.core.advisories import Advisories
from proxy.core.ages import STEP, stepped
from proxy.core.digest import Digest
from proxy.core.model import Entry, Index, Mirror
from proxy.core.policy import ABSENT, MALICIOUS, Policy, Rule
from proxy.ecosystems.base import Context, Ecosystem
from proxy.gateway.basis import holds_until
from proxy.gateway.ports import Ports
from proxy.gateway.sights import Sights

LEAD = 600.0
"""Seconds before a step in which the views behind it can be made."""

KNOWN = 4096
"""Indexes of which the whole context is remembered."""


@dataclass(frozen=True, slots=True)
class _Current:
    """A mirror's context, and until when it is that."""

    context: Context
    until: float


class Contexts:
    """The contexts of all mirrors, as of now."""

    def __init__(
        self, ports: Ports, sights: Sights, changed: Callable[[], None] = lambda: None
    ) -> None:
        """*changed* hears that any answer may be another one now."""
        self._changed = changed
        self._clock = ports.clock
        self._ecosystems = ports.ecosystems
        self._sights = sights
        self._advisories: Mapping[str, Advisories] | None = None
        self._mirrors: dict[str, Mirror] = {}
        self._siblings: dict[str, frozenset[str]] = {}
        self._current: dict[str, _Current] = {}
        self._completed: OrderedDict[tuple[str, Digest, Digest], Context] = OrderedDict()

    def configure(self, mirrors: Iterable[Mirror]) -> None:
        """From now on *mirrors* are served, with their policies."""
        self._mirrors = {mirror.key: mirror for mirror in mirrors}
        names: dict[str, set[str]] = {}
        for mirror in self._mirrors.values():
            names.setdefault(mirror.type, set()).add(mirror.name)
        self._siblings = {kind: frozenset(some) for kind, some in names.items()}
        self._forget()

    def advise(self, advisories: Mapping[str, Advisories]) -> None:
        """From now on these are known, by OSV's ecosystem; what is malicious is refused."""
        self._advisories = advisories
        self._forget()

    def of(self, mirror: str) -> Context:
        """What holds now for all indexes of the mirror with that key."""
        now = self._clock()
        current = self._current.get(mirror)
        if current is None or now >= current.until:
            current = self._current[mirror] = self._as_of(mirror, now)
        holds_until(current.until)
        return current.context

    def next(self, mirror: str) -> Context | None:
        """What will hold for the mirror behind the step that is near; None: there is none."""
        now = self._clock()
        ahead = self._as_of(mirror, now + LEAD).context
        return None if ahead.digest == self.of(mirror).digest else ahead

    async def complete(
        self,
        context: Context,
        index: Index,
        entry: Entry,
        *,
        gate: Digest | None,
        gates: tuple[tuple[str, Digest], ...] = (),
        closure: Digest | None = None,
        here: bytes | None = None,
    ) -> Context:
        """*context* with what concerns the generation *entry* of *index* alone."""
        if context.policy is None:
            return context
        key = (index.key, entry.digest, context.digest)
        found = self._completed.get(key)
        special = (gate, gates, closure, here)
        if found is None or (found.gate, found.gates, found.closure, found.here) != special:
            ecosystem = self._ecosystems[index.mirror.partition("/")[0]]
            about = concerning(ecosystem, index, self._advisories)
            found = replace(
                context, gate=gate, gates=gates, closure=closure, here=here, advisories=about
            )
            if context.policy.is_dated:
                sight = await self._sights.of(index, entry)
                found = replace(found, first_seen=sight.table, seen_at=sight.at)
            self._completed[key] = found
            while len(self._completed) > KNOWN:
                self._completed.popitem(last=False)
        return found

    def _forget(self) -> None:
        self._current.clear()
        self._completed.clear()
        self._changed()

    def _as_of(self, mirror: str, now: float) -> _Current:
        one = self._mirrors[mirror]
        policy = in_force(one.policy, one, advised=self._advisories is not None)
        siblings = self._siblings[one.type]
        return _as_of(Context(mirror=mirror, siblings=siblings, policy=policy), now)

    @property
    def advisories(self) -> Mapping[str, Advisories] | None:
        """All that is known, by OSV's ecosystem; None: nothing is looked at."""
        return self._advisories

    async def settle(self, index: Index, mirror: Mirror, entry: Entry) -> None:
        """*entry* is in use: what the next generation will need of it can be made."""
        policy = self.of(mirror.key).policy
        if policy is not None and policy.is_dated:
            await self._sights.settle(index, entry)


def in_force(policy: Policy | None, mirror: Mirror, *, advised: bool) -> Policy | None:
    """*policy* as it holds for *mirror*: with the rules that come before everybody's. *advised*:
    advisories are known.
    """
    first: list[Rule] = []
    if advised and mirror.type != "files":
        first.append(MALICIOUS)
    if mirror.lists_present:
        first.append(ABSENT)
    if not first:
        return policy
    policy = policy or Policy(name="advisories" if advised else "offline")
    return replace(policy, overrides=(*first, *policy.overrides))


def concerning(
    ecosystem: Ecosystem, index: Index, known: Mapping[str, Advisories] | None
) -> Advisories | None:
    """The advisories that concern *index*: with those of others its views keep their names."""
    about = ecosystem.advised(index)
    if known is None or about is None:
        return None
    found = known.get(about.ecosystem, Advisories())
    return found if about.package is None else found.only(about.package)


def _as_of(context: Context, now: float) -> _Current:
    """*context* at *now*, and until when it stays so."""
    policy = context.policy
    if policy is None:
        return _Current(context, math.inf)
    kind = context.mirror.partition("/")[0]
    until = min(_ends(policy, now), default=math.inf)
    moment = 0.0
    if policy.is_dated:
        moment = stepped(now)
        until = min(until, moment + STEP)
    return _Current(replace(context, policy=policy.at(now, kind), moment=moment), until)


def _ends(policy: Policy, now: float) -> Iterable[float]:
    """The moments to come at which rules end."""
    for rule in (*policy.rules, *policy.overrides):
        if rule.expires is not None and rule.expires > now:
            yield rule.expires
