"""The circuits to all hosts: a host that is down is not asked, and tried until it is back.

Trying is this room's own work and no client's: a small request goes out after each rest. What
counts as down is that a host cannot be reached, does not answer in time or has a gateway that
says so of it. Any other answer, an error too, is one of a host that is up: otherwise whoever finds
one path that fails could close the way to all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from proxy.core.circuit import Circuit, State
from proxy.errors import ProxyError, UpstreamDown, UpstreamError

GIVE_UP = 3600.0
"""Seconds after which a host is no longer tried: the next client's request finds out."""

HOSTS = 1024
"""Hosts whose failures are counted: an index may name any number of them."""

Probe = Callable[[], Awaitable[None]]
"""Asks the host something small. Raises UpstreamError where it is still down."""


class Observer(Protocol):
    """Hears of hosts that go and come back."""

    def tripped(self, host: str, error: UpstreamError) -> None:
        """*host* is left alone from now on, *error* being the last of several."""

    def closed(self, host: str, cause: str, seconds: float) -> None:
        """*host* is asked again after so many seconds: it has `answered`, or was `given up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A host that has failed of late. `wait`: seconds until it is tried, None: it is asked.

    `left_alone_by`: workers that do not ask it.
    """

    host: str
    state: State
    failures: int
    wait: float | None
    left_alone_by: int = 0


@dataclass(frozen=True, slots=True)
class _Trial:
    task: asyncio.Task[None]
    since: float


class Circuits:
    """Made in a running event loop. A host without trouble takes no room here."""

    def __init__(
        self,
        trip_after: int,
        *,
        observer: Observer,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*trip_after*: failures in a row, 0 for never; *clock*: monotonic seconds."""
        self._trip_after = trip_after
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        self._troubled: dict[str, Circuit] = {}
        self._trials: dict[str, _Trial] = {}

    def check(self, url: str) -> None:
        """Raises UpstreamDown where the host of *url* is left alone at the moment."""
        if not self._troubled:
            return
        host = host_of(url)
        circuit = self._troubled.get(host)
        wait = circuit.wait(self._clock()) if circuit is not None else None
        if wait is not None:
            raise UpstreamDown(f"{host} has failed repeatedly; it is tried again", retry_after=wait)

    def answered(self, url: str) -> None:
        """The host of *url* has sent something."""
        if self._troubled:
            self._close(host_of(url), "answered")

    def failed(self, url: str, error: UpstreamError, probe: Probe) -> None:
        """The host of *url* was asked in vain; *probe* is how it can be tried."""
        host, now = host_of(url), self._clock()
        if host not in self._troubled and len(self._troubled) >= HOSTS:
            self._forget_one()
        circuit = self._troubled.get(host, Circuit())
        self._troubled[host] = circuit = circuit.failed(now=now, trip_after=self._trip_after)
        if circuit.state is State.OPEN and host not in self._trials:
            self._observer.tripped(host, error)
            trying = asyncio.create_task(self._try(host, probe))
            self._trials[host] = _Trial(task=trying, since=now)

    def __iter__(self) -> Iterator[Trouble]:
        now = self._clock()
        for host, circuit in sorted(self._troubled.items()):
            yield Trouble(
                host=host,
                state=circuit.state,
                failures=circuit.failures,
                wait=circuit.wait(now),
                left_alone_by=0 if circuit.state is State.CLOSED else 1,
            )

    async def aclose(self) -> None:
        """Try no more."""
        trials, self._trials = self._trials, {}
        for trial in trials.values():
            trial.task.cancel()
        await asyncio.gather(*(trial.task for trial in trials.values()), return_exceptions=True)

    async def _try(self, host: str, probe: Probe) -> None:
        """Rest and probe, until *host* answers. Ended from outside where it answers a client."""
        cause = "given up"
        try:
            started = self._clock()
            while self._clock() - started < GIVE_UP and cause != "answered":
                await self._sleep(self._troubled[host].rest)
                self._troubled[host] = self._troubled[host].tried()
                cause = await self._probed(host, probe) or cause
        finally:
            self._close(host, cause)

    async def _probed(self, host: str, probe: Probe) -> str | None:
        try:
            await probe()
        except ProxyError:
            now = self._clock()
            known = self._troubled[host]
            self._troubled[host] = known.failed(now=now, trip_after=self._trip_after)
            return None
        return "answered"

    def _forget_one(self) -> None:
        """The host that began to fail first, and is still asked."""
        closed = (h for h, circuit in self._troubled.items() if circuit.state is State.CLOSED)
        self._troubled.pop(next(closed, ""), None)

    def _close(self, host: str, cause: str) -> None:
        self._troubled.pop(host, None)
        trial = self._trials.pop(host, None)
        if trial is not None:
            self._observer.closed(host, cause, self._clock() - trial.since)
            trial.task.cancel()


def host_of(url: str) -> str:
    """`host:port` of *url*, the port of its scheme where it names none."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
