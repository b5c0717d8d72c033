"""Taking a sample: a load on a server, with the CPU time and memory that the server spent.

Servers run on one core and everything else on another, where the machine has two: CPU time per
request or byte is then steady enough to compare within one run. Absolute numbers are not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.load import Load, Outcome
from tests.lab.processes import cpu_seconds, peak_resident

SERVER_CORE, LOAD_CORE = 0, 1
REPOSITORY = Path(__file__).parents[1]  # where `python -m` finds this package


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One load on one server. `cpu` is None where the server is not the contestant's own."""

    outcome: Outcome
    cpu: float | None = None  # seconds of the server's process tree
    peak: int | None = None  # bytes, the highest since the server started

    @property
    def throughput(self) -> float:
        """Bytes per second."""
        return self.outcome.received / self.outcome.wall

    @property
    def cpu_per_gb(self) -> float:
        """CPU seconds per 10^9 bytes."""
        assert self.cpu is not None
        return self.cpu / self.outcome.received * 1e9


class WrongBody(Exception):
    """A client did not get what upstream has; a measurement of that means nothing."""


@contextlib.contextmanager
def ahead() -> Iterator[None]:
    """Whoever measures comes before all others on the clients' processor, where that is allowed
    (root).

    On the processor of clients and upstream it would else measure how long it waits for upstream,
    which stands for somebody else's machine.
    """
    before, cores = (os.sched_getscheduler(0), os.sched_getparam(0)), os.sched_getaffinity(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
        return
    if LOAD_CORE in cores:  # nowhere else: it would come before the server, too
        os.sched_setaffinity(0, {LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
        os.sched_setaffinity(0, cores)


def pinned(command: Sequence[str], core: int) -> list[str]:
    """*command* bound to *core*, where the machine has it and taskset."""
    return [*pin_prefix(core), *command]


def pin_prefix(core: int) -> list[str]:
    """What to put before a command to bind it to *core*; nothing where that cannot be."""
    taskset = shutil.which("taskset")
    able = taskset is not None and core in os.sched_getaffinity(0)
    return [str(taskset), "-c", str(core)] if able else []


def apply(load: Load) -> Outcome:
    """Run *load* in a process of its own. Raises WrongBody."""
    command = pinned([sys.executable, "-m", "benchmarks.load"], LOAD_CORE)
    asked = msgspec.json.encode(load)
    ended = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True, cwd=REPOSITORY)
    outcome = msgspec.json.decode(ended.stdout, type=Outcome)
    wanted = load.clients * load.times
    if outcome.right != wanted:
        wrong = wanted - outcome.right
        raise WrongBody(f"{load.path}: {wrong} of {wanted} wrong: {outcome.failures}")
    return outcome


def sample(load: Load, pid: int | None) -> Sample:
    """Run *load* on the server whose process tree starts at *pid*. Raises WrongBody."""
    if pid is None:
        return Sample(outcome=apply(load))
    before = cpu_seconds(pid)
    outcome = apply(load)
    return Sample(outcome=outcome, cpu=cpu_seconds(pid) - before, peak=peak_resident(pid))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of several rounds, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median=statistics.median(values), low=min(values), high=max(values))

    @classmethod
    def of_ratios(cls, above: Sequence[float], below: Sequence[float]) -> Spread:
        """Of the ratios round by round, which is what alternating the contestants is for."""
        return cls.of([one / other for one, other in zip(above, below, strict=True)])
