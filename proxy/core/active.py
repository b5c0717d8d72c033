"""What an active mirror fetches ahead, when, and how gently. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.frequency import USUAL, Frequency

DAY = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which of the files that its indexes list, and its policy allows, a mirror fetches.

    `platforms` are patterns (none: all): of conda's subdirs, of wheels' platform tags. `specs`
    (none: everything) are packages, `dependencies`: with all that they may need. `newest`: of
    each package only so many versions. `size_limit`: no more bytes than these, newest files first.
    """

    platforms: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    dependencies: bool = True
    newest: int | None = None
    size_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The seconds after midnight UTC between which a run may fetch; it may lie over midnight."""

    start: int
    end: int

    def wait(self, moment: float) -> float:
        """Seconds from *moment* until it is open; 0 while it is."""
        since = (moment - self.start) % DAY
        return 0.0 if since < (self.end - self.start) % DAY else DAY - since


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How gently a run fetches: files at a time, bytes per second, and when."""

    concurrency: int = 4
    bandwidth: int | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """What makes a mirror an active one.

    `gone_after`: seconds after which a file that upstream no longer lists is removed here; None:
    it is kept. `keep_runs`: so many runs are remembered.
    """

    frequency: Frequency = field(default_factory=lambda: Frequency(USUAL))
    scope: Scope = Scope()
    limits: Limits = Limits()
    gone_after: float | None = None
    keep_runs: int = 20
