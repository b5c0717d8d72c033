"""How a run stands, kept up to date for those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proxy.mirror.pace import Meter
from proxy.mirror.port import Counts, Run, RunState, Step


class Progress:
    """The run as it is now; *changed* hears of every change."""

    def __init__(
        self, run: Run, clock: Callable[[], float], changed: Callable[[Run], None]
    ) -> None:
        self.run = run
        self._clock = clock
        self._changed = changed
        self._meter = Meter(clock)

    @property
    def counts(self) -> Counts:
        return self.run.counts

    def begin(self) -> None:
        """It runs, from the first step on; what a run that was cut off had counted is void."""
        started_at = self.run.started_at or self._clock()
        self._now(state=RunState.RUNNING, started_at=started_at, counts=Counts())

    def at(self, step: Step) -> None:
        """A step begins."""
        self._now(step=step)

    def stopping(self) -> None:
        """It was told to stop."""
        self._now(state=RunState.STOPPING)

    def missed(self, moment: float) -> None:
        """It was due again at *moment*."""
        self._now(missed=(*self.run.missed, moment))

    def count(self, **more: int) -> None:
        """Add to the counts of these names."""
        counts = self.run.counts
        self._now(counts=replace(counts, **{k: getattr(counts, k) + n for k, n in more.items()}))

    def recount(self, found: Counts) -> None:
        """Take over from the ledger what stands there."""
        ours = {name: getattr(self.counts, name) for name in ("listed", "hidden", "beyond")}
        self._now(counts=replace(found, removed=self.counts.removed, **ours))

    def fetched(self) -> None:
        """Work out rate and estimate anew."""
        counts = self.counts
        self._meter.mark(counts.fetched + counts.failed, counts.bytes_fetched)
        rates = self._meter.rates()
        files = counts.to_fetch - counts.fetched - counts.failed
        size = max(0, counts.bytes_to_fetch - counts.bytes_fetched)
        self._now(
            rate=None if rates is None else rates[1],
            remaining=self._meter.remaining(files, size),
        )

    def end(self, state: RunState, error: str | None) -> None:
        """It is over."""
        self._now(state=state, ended_at=self._clock(), error=error, rate=None, remaining=None)

    def _now(self, **changes: object) -> None:
        self.run = replace(self.run, **changes)  # type: ignore[arg-type]  # names of its fields
        self._changed(self.run)
