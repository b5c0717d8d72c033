"""What the views of a generation depend on besides its own bytes: the index that decides for it,
those that it sums up, what allow-lists keep of it, and which of its files are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from proxy.core.digest import Digest
from proxy.core.model import Entry, Index, Mirror
from proxy.core.policy import Policy
from proxy.ecosystems.base import Context, Ecosystem
from proxy.errors import UpstreamMissing
from proxy.gateway.basis import holds_until, rests_on_all_of
from proxy.gateway.closures import Closures, lists
from proxy.gateway.contexts import Contexts
from proxy.gateway.ports import Ports
from proxy.gateway.present import Present
from proxy.gateway.views import Generation, Views

KNOWN_FOR = 30.0
"""Seconds for which it is believed which indexes of a mirror are here (siblings add some)."""


class Shown(Protocol):
    """What is served of an index."""

    @property
    def generation(self) -> Generation: ...


class Source(Protocol):
    """Where other indexes come from."""

    async def current(self, index: Index, mirror: Mirror) -> Shown:
        """The generation that clients are to see. Raises upstream's errors."""
        ...

    async def held(self, index: Index, mirror: Mirror) -> Entry | None:
        """The generation that is here, however old."""
        ...

    async def companion(self, index: Index, mirror: Mirror) -> Entry:
        """One that is not here yet, for another one that waits for it. Raises upstream's errors."""
        ...


class Binding:
    """Binds generations to the way they are shown."""

    def __init__(
        self, ports: Ports, views: Views, contexts: Contexts, closures: Closures, source: Source
    ) -> None:
        self._catalog = ports.catalog
        self._ecosystems = ports.ecosystems
        self._clock = ports.clock
        self._views = views
        self._contexts = contexts
        self._closures = closures
        self._present = Present(ports)
        self._source = source
        self._paths: dict[str, tuple[float, Sequence[str]]] = {}

    async def bound(
        self, index: Index, mirror: Mirror, entry: Entry, context: Context
    ) -> Generation:
        """*entry*, a generation of *index*, as it is shown in *context*. Raises what fetching the
        indexes does that decide for it.
        """
        gate = None
        decider = self._ecosystem(index).decided_by(index)
        if context.policy is not None and decider is not None:
            current = await self._source.current(decider, mirror)
            gate = (await self._views.rows(current.generation)).digest
        gates = await self._gates(index, mirror) if context.policy is not None else ()
        closure = await self.closure(index, mirror, entry, context.policy)
        here = await self._present.of(index, mirror)
        whole = await self._contexts.complete(
            context, index, entry, gate=gate, gates=gates, closure=closure, here=here
        )
        return self._views.generation(index, entry, whole)

    async def _gates(self, index: Index, mirror: Mirror) -> tuple[tuple[str, Digest], ...]:
        """The row tables of those indexes that *index* sums up which are here: for a summary
        nothing is fetched.
        """
        ecosystem = self._ecosystem(index)
        is_part = ecosystem.sums_up(index)
        if is_part is None:
            return ()
        found: list[tuple[str, Digest]] = []
        for path in sorted(filter(is_part, await self._known_paths(mirror))):
            part = ecosystem.classify(mirror.key, path)
            assert isinstance(part, Index)
            held = await self._source.held(part, mirror)
            if held is not None:
                generation = await self.bound(part, mirror, held, self._contexts.of(mirror.key))
                found.append((path, (await self._views.rows(generation)).digest))
        return tuple(found)

    async def closure(
        self, index: Index, mirror: Mirror, entry: Entry, policy: Policy | None
    ) -> Digest | None:
        """The table of what the allow-lists of *policy* keep of *index* with what it needs, if
        there are such lists.
        """
        specs = lists(policy)
        ecosystem = self._ecosystem(index)
        if not specs or ecosystem.decided_by(index) is not None:
            return None
        needed = ecosystem.companions(index, ())
        listed: list[tuple[Index, Entry]] = []
        for path in ecosystem.companions(index, await self._known_paths(mirror)):
            one = ecosystem.classify(mirror.key, path)
            assert isinstance(one, Index)
            held = entry if path == index.path else await self._source.held(one, mirror)
            if held is None and path in needed:
                try:
                    held = await self._source.companion(one, mirror)
                except UpstreamMissing:  # nothing is in it, and nothing needs it
                    continue
            if held is not None:  # else forgotten since its path was seen
                listed.append((one, held))
        return await self._closures.of(index, listed, specs) if listed else None

    async def _known_paths(self, mirror: Mirror) -> Sequence[str]:
        """The paths of all that is remembered of *mirror*, as of a moment ago: they are many."""
        now = self._clock()
        until, paths = self._paths.get(mirror.key, (0.0, ()))
        if now >= until:
            keys = await self._catalog.keys(f"{mirror.key} ")
            paths = tuple(key.partition(" ")[2] for key in keys)
            self._paths[mirror.key] = now + KNOWN_FOR, paths
        holds_until(until)
        rests_on_all_of(mirror.key)
        return paths

    def forget_paths(self, mirror: Mirror) -> None:
        """*mirror* has an index that it did not have."""
        self._paths.pop(mirror.key, None)

    def _ecosystem(self, index: Index) -> Ecosystem:
        return self._ecosystems[index.mirror.partition("/")[0]]
