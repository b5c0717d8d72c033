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
from proxy.core.digest import Digest
from proxy.core.model import Entry, Index, Mirror
from proxy.core.policy import ABSENT, MALICIOUS, Policy
from proxy.ecosystems.base import Context
from proxy.gateway.basis import holds_until
from proxy.gateway.ports import Ports
from proxy.gateway.sights import Sights

STEP = 3600.0
"""Seconds for which the ages of files stand still."""

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
        self._configured: dict[str, Context] = {}
        self._current: dict[str, _Current] = {}
        self._completed: OrderedDict[tuple[str, Digest, Digest], Context] = OrderedDict()

    def configure(self, mirrors: Iterable[Mirror]) -> None:
        """From now on *mirrors* are served, with their policies."""
        known = list(mirrors)
        names: dict[str, set[str]] = {}
        for mirror in known:
            names.setdefault(mirror.type, set()).add(mirror.name)
        self._configured = {
            mirror.key: Context(
                mirror=mirror.key, siblings=frozenset(names[mirror.type]), policy=_policy(mirror)
            )
            for mirror in known
        }
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
        closure: Digest | None = None,
        here: bytes | None = None,
    ) -> Context:
        """*context* with what concerns the generation *entry* of *index* alone."""
        if context.policy is None:
            return context
        key = (index.key, entry.digest, context.digest)
        found = self._completed.get(key)
        if found is None or (found.gate, found.closure, found.here) != (gate, closure, here):
            about = self.about(index)
            found = replace(context, gate=gate, closure=closure, here=here, advisories=about)
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
        context = self._configured[mirror]
        if self._advisories is not None and not mirror.startswith("files/"):
            policy = context.policy or Policy(name="advisories")
            policy = replace(policy, overrides=(MALICIOUS, *policy.overrides))
            context = replace(context, policy=policy)
        return _as_of(context, now)

    def about(self, index: Index) -> Advisories | None:
        """The advisories that concern *index*: with those of others its views keep their names."""
        about = self._ecosystems[index.mirror.partition("/")[0]].advised(index)
        if self._advisories is None or about is None:
            return None
        known = self._advisories.get(about.ecosystem, Advisories())
        return known if about.package is None else known.only(about.package)

    async def settle(self, index: Index, mirror: Mirror, entry: Entry) -> None:
        """*entry* is in use: what the next generation will need of it can be made."""
        policy = self.of(mirror.key).policy
        if policy is not None and policy.is_dated:
            await self._sights.settle(index, entry)


def _policy(mirror: Mirror) -> Policy | None:
    """What holds for *mirror*: its policy and, where that is wanted, what is not here."""
    if not mirror.lists_present:
        return mirror.policy
    policy = mirror.policy or Policy(name="offline")
    return replace(policy, overrides=(ABSENT, *policy.overrides))


def _as_of(context: Context, now: float) -> _Current:
    """*context* at *now*, and until when it stays so."""
    policy = context.policy
    if policy is None:
        return _Current(context, math.inf)
    kind = context.mirror.partition("/")[0]
    until = min(_ends(policy, now), default=math.inf)
    moment = 0.0
    if policy.is_dated:
        moment = math.floor(now / STEP) * STEP
        until = min(until, moment + STEP)
    return _Current(replace(context, policy=policy.at(now, kind), moment=moment), until)


def _ends(policy: Policy, now: float) -> Iterable[float]:
    """The moments to come at which rules end."""
    for rule in (*policy.rules, *policy.overrides):
        if rule.expires is not None and rule.expires > now:
            yield rule.expires
