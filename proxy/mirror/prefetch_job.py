"""One prefetch carried out against a server: files read, dependencies found, and all of it pulled.

The same steps as `pkgproxy prefetch`, gently: clients come first, and once it is stopped nothing
new is begun.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from proxy.errors import ProxyError
from proxy.mirror.pace import Pace
from proxy.mirror.port import RunState
from proxy.mirror.prefetching import FAILURES, Prefetch, PrefetchDetails, Wish
from proxy.mirror.wanted.closing import closing
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.fetching import Fetched, fetch
from proxy.mirror.wanted.naming import KEYS
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.sent import Sent
from proxy.mirror.wanted.targets import targets_of
from proxy.mirror.wanted.values import Wanted
from proxy.upstream.served import Server


class PrefetchJob:
    """Carries out one wish."""

    def __init__(
        self,
        prefetch: Prefetch,
        wish: Wish,
        *,
        server: Server,
        pace: Pace,
        clock: Callable[[], float],
        changed: Callable[[Prefetch], None],
    ) -> None:
        """*changed* hears how it stands."""
        self.prefetch = prefetch
        self._wish = wish
        self._server = server
        self._pace = pace
        self._clock = clock
        self._changed = changed
        self._stopped = asyncio.Event()
        self._failures: list[Failure] = []
        self._done = 0

    def stop(self) -> None:
        """Begin nothing new; files that are on their way come to their end."""
        self._stopped.set()
        self._now(doing="ending what is under way")

    async def go(self) -> PrefetchDetails:
        """Carry it out."""
        self._now(state=RunState.RUNNING, doing="reading", started_at=self._clock())
        notes: tuple[str, ...] = ()
        error: str | None = None
        with tempfile.TemporaryDirectory(prefix="pkgproxy-") as folder:
            sent = Sent(Path(folder, "sent"))
            try:
                wanted = await asyncio.to_thread(self._read, sent)
                notes = tuple(map(sent.as_sent, wanted.notes))
                closure = await self._unless_stopped(wanted, Path(folder))
                if closure is not None:
                    await self._fetch(closure, sent)
            except ProxyError as problem:
                error = sent.as_sent(str(problem))
        self._now(state=self._end(error), doing="", ended_at=self._clock(), error=error)
        failures = tuple(self._failures[:FAILURES])
        return PrefetchDetails(prefetch=self.prefetch, failures=failures, notes=notes)

    def _read(self, sent: Sent) -> Wanted:
        targets = targets_of(self._wish.platforms, self._wish.pythons, KEYS)
        return sent.read(self._wish.files, self._wish.beside, targets)

    async def _unless_stopped(self, wanted: Wanted, folder: Path) -> Closure | None:
        """All that is wanted; None where it was stopped before that was known."""
        finding = asyncio.ensure_future(self._closed(wanted, folder))
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([finding, stopping], return_when=asyncio.FIRST_COMPLETED)
            return finding.result() if finding.done() else None
        finally:
            for task in (finding, stopping):
                task.cancel()
            await asyncio.gather(finding, stopping, return_exceptions=True)

    async def _closed(self, wanted: Wanted, folder: Path) -> Closure:
        """Raises ConfigError where no mirror fits."""
        places = Places(await self._server.mirrors(), self._wish.mirrors, KEYS)
        targets = targets_of(self._wish.platforms, self._wish.pythons, KEYS)
        workspace = folder / "solving"
        async with closing(
            self._server, places, targets, workspace=workspace, hear=self._told
        ) as one:
            found = await one.close(wanted)
        named = (
            Needed(url=f"{self._server.url}/{quote(path)}", where=path) for path in self._wish.paths
        )
        return Closure.together([found, Closure(files=tuple(named))])

    async def _fetch(self, closure: Closure, sent: Sent) -> None:
        def done(one: Fetched) -> None:
            self._done += 1
            if one.failure is not None:
                self._fail(sent.failure(one.failure))
            elif one.pulled is not None:
                now, pulled = self.prefetch, one.pulled
                self._now(
                    fetched=now.fetched + (not pulled.here),
                    present=now.present + pulled.here,
                    bytes=now.bytes + pulled.size,
                )

        for failure in closure.failures:
            self._fail(sent.failure(failure))
        self._now(doing="fetching", files=len(closure.files))
        await fetch(
            closure.files,
            self._server,
            jobs=self._wish.jobs,
            hear=done,
            go_on=self._go_on,
        )

    async def _go_on(self) -> bool:
        """Whether one more file is to be begun, once clients leave room for it."""
        await self._pace.turn()
        return not self._stopped.is_set()

    def _fail(self, failure: Failure) -> None:
        self._failures.append(failure)
        self._now(failed=len(self._failures))

    def _told(self, text: str) -> None:
        self._now(doing=text)

    def _end(self, error: str | None) -> RunState:
        if error is not None:
            return RunState.FAILED
        if self._stopped.is_set() and self._done != self.prefetch.files:
            return RunState.STOPPED
        return RunState.COMPLETED_WITH_FAILURES if self._failures else RunState.COMPLETED

    def _now(self, **changes: Any) -> None:
        self.prefetch = replace(self.prefetch, **changes)
        self._changed(self.prefetch)
