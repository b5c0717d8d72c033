"""What a process apart meets, told to the server, which counts and shows it as its own.

Counts are added up and sent with the next word about the work; what the operator should hear of is
sent at once. Where all processes count into one folder the process's counts are in it already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from proxy.observe.happenings import Hearing, Sort
from proxy.observe.metrics import Metrics, shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Requests to upstream by mirror and outcome with the seconds of each, bytes by mirror,
    requests that were sent again by mirror and cause, wrong bodies by mirror.
    """

    answered: tuple[tuple[str, str, float], ...]
    received: Mapping[str, int]
    retried: tuple[tuple[str, str], ...]
    wrong: tuple[str, ...]

    def add_to(self, metrics: Metrics) -> None:
        """Count them there."""
        for mirror, outcome, seconds in self.answered:
            metrics.upstream_answered(mirror, outcome, seconds)
        for mirror, count in self.received.items():
            metrics.upstream_received(mirror, count)
        for mirror, cause in self.retried:
            metrics.upstream_retried(mirror, cause)
        for mirror in self.wrong:
            metrics.integrity_failed(mirror)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the operator should hear of; see `proxy.observe.happenings.Happening`."""

    sort: Sort
    mirror: str
    what: str
    cause: str
    text: str


class Relay:
    """In the server: counts and shows what a process apart has met. Its log lines are its own."""

    def __init__(self, metrics: Metrics, hearing: Hearing) -> None:
        self._metrics = metrics
        self._hearing = hearing

    def take(self, message: Counts | Told) -> None:
        """It has met that."""
        match message:
            case Counts():
                message.add_to(self._metrics)
            case Told(sort=sort, mirror=mirror, what=what, cause=cause, text=text):
                self._hearing.tell(sort, mirror=mirror, what=what, cause=cause, text=text)


class Adding(Metrics):
    """Adds up what there is to count, until it is taken."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self._begin()

    def _begin(self) -> None:
        self._answered: list[tuple[str, str, float]] = []
        self._received: Counter[str] = Counter()
        self._retried: list[tuple[str, str]] = []
        self._wrong: list[str] = []

    def upstream_answered(self, mirror: str, outcome: str, seconds: float) -> None:
        self._answered.append((mirror, outcome, seconds))

    def upstream_received(self, mirror: str, count: int) -> None:
        self._received[mirror] += count

    def upstream_retried(self, mirror: str, cause: str) -> None:
        self._retried.append((mirror, cause))

    def integrity_failed(self, mirror: str) -> None:
        self._wrong.append(mirror)

    def take(self) -> Counts | None:
        """What has come together since the last time; None: nothing."""
        if not (self._answered or self._received or self._retried or self._wrong):
            return None
        taken = Counts(
            answered=tuple(self._answered),
            received=dict(self._received),
            retried=tuple(self._retried),
            wrong=tuple(self._wrong),
        )
        self._begin()
        return taken


class Passing:
    """Passes on what the operator should hear of; see `proxy.observe.happenings.Hearing`."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell

    def tell(self, sort: Sort, *, mirror: str, what: str, cause: str, text: str) -> None:
        """Something happened."""
        self._tell(Told(sort=sort, mirror=mirror, what=what, cause=cause, text=text))


def counting() -> tuple[Metrics, Callable[[], Counts | None]]:
    """The metrics of a process apart, and what takes from them what has to be sent."""
    if shared():
        return Metrics(CollectorRegistry()), lambda: None
    adding = Adding()
    return adding, adding.take
