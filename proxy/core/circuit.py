"""Whether a host is worth asking: closed, open, half-open. Pure, the clock is the caller's.

A host that failed several times in a row is left alone for a while, so that nobody waits for its
deadlines. After that rest it is tried once; each trial that fails doubles the rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

REST = 1.0
"""Seconds of the first rest: most outages that clients notice are a restart behind the name."""

REST_MAX = 60.0
"""Seconds of the longest one: that late, at the most, is it seen that a host is back."""


class State(enum.StrEnum):
    """What the circuit to a host is."""

    CLOSED = "closed"  # it is asked
    OPEN = "open"  # it is not
    HALF_OPEN = "half-open"  # it is tried, by one request of our own


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of one host. `failures` in a row, `rests` in a row; `until` a time of the
    caller's monotonic clock, in seconds.
    """

    state: State = State.CLOSED
    failures: int = 0
    rests: int = 0
    until: float = 0.0

    @property
    def rest(self) -> float:
        """Seconds of the rest that it is in."""
        return min(REST_MAX, REST * 2.0 ** min(self.rests - 1, 30)) if self.rests else 0.0

    def failed(self, *, now: float, trip_after: int) -> Circuit:
        """It could not be reached, or not in time. *trip_after* 0: however often."""
        failures = self.failures + 1
        match self.state:
            case State.CLOSED if 0 < trip_after <= failures:
                return _open(replace(self, failures=failures), now)
            case State.HALF_OPEN:
                return _open(replace(self, failures=failures), now)
            case State.CLOSED | State.OPEN:  # open: asked before it was known
                return replace(self, failures=failures)

    def tried(self) -> Circuit:
        """The rest is over: one request may go."""
        return replace(self, state=State.HALF_OPEN)

    def wait(self, now: float) -> float | None:
        """Seconds after which asking again makes sense, at least 1; None: at once."""
        return None if self.state is State.CLOSED else max(1.0, self.until - now)


def _open(circuit: Circuit, now: float) -> Circuit:
    rested = replace(circuit, state=State.OPEN, rests=circuit.rests + 1)
    return replace(rested, until=now + rested.rest)
