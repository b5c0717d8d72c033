"""What the kernel says of a process and its descendants: CPU time and resident memory (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # per second


def tree(pid: int) -> list[int]:
    """*pid* and all its living descendants; empty where it has ended."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _read(children).split()]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, and of its ended children that were waited for."""
    return sum(_cpu_seconds(one) for one in tree(pid))


def resident(pid: int) -> int:
    """Bytes resident now, over the tree; shared pages count in each process."""
    return resident_of(tree(pid))


def resident_of(pids: Iterable[int]) -> int:
    """The same, over these processes alone."""
    return sum(_status(one, "VmRSS") for one in pids)


def peak_resident(pid: int) -> int:
    """The sum of each process's own peak (VmHWM) in bytes."""
    return sum(_status(one, "VmHWM") for one in tree(pid))


def reset_peak(pid: int) -> None:
    """Start the peak anew from what is resident now (proc(5), clear_refs)."""
    for one in tree(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")


def _cpu_seconds(pid: int) -> float:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS  # utime stime cutime cstime


def _status(pid: int, name: str) -> int:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024  # the kernel writes kB
    return 0


def _read(path: Path) -> str:
    """The file, or nothing where its process has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
