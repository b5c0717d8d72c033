"""The gateway with everything it needs of its own, put together over the ports it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.core.advisories import Advisories
from proxy.core.model import Index
from proxy.gateway.advising import Advising
from proxy.gateway.artifacts import Artifacts
from proxy.gateway.closures import Closures
from proxy.gateway.contexts import Contexts
from proxy.gateway.deriving import Deriving
from proxy.gateway.explaining import Compared, JudgeJob, Question, answer
from proxy.gateway.fetching import Fetching
from proxy.gateway.gateway import Gateway
from proxy.gateway.indexes import Indexes
from proxy.gateway.members import Members
from proxy.gateway.plain import IMPATIENT, PlainFiles
from proxy.gateway.pool import Pool
from proxy.gateway.ports import Ports
from proxy.gateway.sights import Sights
from proxy.gateway.views import Views
from proxy.gateway.warming import Warming


class Engine:
    """Built once per process; closed when its last request is over."""

    def __init__(
        self,
        ports: Ports,
        *,
        impatient: float = IMPATIENT,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """*changed* hears that mirrors, policies or advisories are others now."""
        self.ports = ports
        self.pool = Pool()
        self.views = Views(ports, self.pool)
        self._sights = Sights(ports, self.pool)
        self._closures = Closures(ports, self.pool)
        self.contexts = Contexts(ports, self._sights, changed)
        self.indexes = Indexes(ports, self.views, self.contexts, self._closures, self._renewed)
        self.warming = Warming(self.indexes, ports.clock, ports.events)
        self.advising = Advising(self.pool, ports.clock, ports.events, self._advise)
        self.fetching = Fetching(ports)
        self._deriving = Deriving(ports, self.fetching)
        plain = PlainFiles(ports, self.fetching, impatient=impatient)
        artifacts = Artifacts(
            ports,
            indexes=self.indexes,
            plain=plain,
            fetching=self.fetching,
            views=self.views,
            contexts=self.contexts,
            deriving=self._deriving,
        )
        self.gateway = Gateway(
            ports,
            indexes=self.indexes,
            artifacts=artifacts,
            plain=plain,
            views=self.views,
            contexts=self.contexts,
            warming=self.warming,
            members=Members(ports, indexes=self.indexes, views=self.views, contexts=self.contexts),
        )

    async def explain(self, question: Question) -> list[Compared]:
        """The verdicts on what the held indexes of a mirror list. Raises BadIndex, StorageError."""

        async def run(
            work: Callable[[JudgeJob], list[Compared]], job: JudgeJob, size: int
        ) -> list[Compared]:
            return await self.pool.run(work, job, size=size)

        catalog, blobs, now = self.ports.catalog, self.ports.blobs, self.ports.clock()
        known = self.contexts.advisories
        return await answer(question, catalog, blobs, now=now, run=run, known=known)

    def _renewed(self, index: Index) -> None:
        self.warming.renewed(index)

    def _advise(self, advisories: Mapping[str, Advisories]) -> None:
        self.contexts.advise(advisories)
        self.warming.wake()

    async def drain(self, seconds: float) -> None:
        """Let background work end for up to *seconds*, of each kind."""
        await self.indexes.drain(seconds)
        await self._deriving.drain(seconds)
        await self.fetching.drain(seconds)
        await self._sights.drain(seconds)
        await self._closures.drain(seconds)

    async def aclose(self) -> None:
        """End all work; whoever waits for it is told so."""
        await self.indexes.aclose()
        await self._deriving.aclose()
        await self.fetching.aclose()
        await self._sights.aclose()
        await self._closures.aclose()
        await self.views.aclose()
        await self.pool.aclose()
