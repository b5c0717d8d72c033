"""wrk as a load: many requests for one path over few connections; what they cost the server."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import LOAD_CORE, pinned
from tests.lab.processes import cpu_seconds

MISSING = "wrk is not installed (Debian: wrk)"

_COUNTED = re.compile(r"(\d+) requests in ([\d.]+)(m?s)")
_PERCENTILE = re.compile(r"^\s*(50|99)%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_FAILED = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """What one load came to; times in seconds."""

    requests: int
    seconds: float
    cpu: float  # of the server's process tree
    own: float  # CPU time of the load itself
    p50: float
    p99: float

    @property
    def cpu_each(self) -> float:
        """Microseconds of the server's CPU time per request."""
        return self.cpu / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


class Failed(Exception):
    """Not every request was answered as it should be; a measurement of that means nothing."""


def executable() -> str | None:
    """Where wrk is; None where it is not installed."""
    return shutil.which("wrk")


def load(
    port: int,
    pid: int,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    connections: int = 64,
    seconds: int = 3,
    script: Path | None = None,
) -> Hits:
    """Ask for *path*, or what *script* says, as fast as answers come. Raises Failed."""
    command = [str(executable()), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if script is not None:
        command += ["-s", str(script)]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    command.append(f"http://127.0.0.1:{port}{path}")
    before, mine = cpu_seconds(pid), _children()
    run = subprocess.run(
        pinned(command, LOAD_CORE),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu, own, text = cpu_seconds(pid) - before, _children() - mine, run.stdout
    counted = _COUNTED.search(text)
    conditional = any(name.lower() == "if-none-match" for name in headers or {})
    broken = _FAILED.search(text)
    if counted is None or counted[1] == "0" or ("Non-2xx" in text and not conditional) or broken:
        raise Failed(f"port {port}, {path}, {headers}: not answered well:\n{text}")
    times = {name: float(value) * _UNITS[unit] for name, value, unit in _PERCENTILE.findall(text)}
    return Hits(
        requests=int(counted[1]),
        seconds=float(counted[2]) * _UNITS[counted[3]],
        cpu=cpu,
        own=own,
        p50=times["50"],
        p99=times["99"],
    )


def _children() -> float:
    """CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
