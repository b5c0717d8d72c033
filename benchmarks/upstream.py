"""The benchmark's upstream: the lab's origin as a process of its own, on a core of its own.

Run as `python -m benchmarks.upstream ROOT RATE LATENCY` (0: none): it prints its port, and for
each path read from standard input how many GETs there were for it so far.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

from benchmarks.measure import LOAD_CORE, REPOSITORY, pinned
from tests.lab.origin import Behaviour, Origin


class Upstream:
    """Serves a folder at *rate* bytes per second over all bodies together (None: unlimited), each
    answer after *latency* seconds.
    """

    def __init__(self, root: Path, rate: float | None = None, latency: float = 0.0) -> None:
        limits = [str(rate or 0), str(latency)]
        command = [sys.executable, "-m", "benchmarks.upstream", str(root), *limits]
        self.root = root
        self._process = subprocess.Popen(
            pinned(command, LOAD_CORE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self.port = int(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def requests(self, path: str) -> int:
        """How many GETs for *path* there were so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main(root: str, rate: str, latency: str) -> None:
    """Serve until standard input ends."""
    behaviour = Behaviour(
        rate=float(rate) or None, latency=float(latency), cache_control="max-age=86400"
    )
    with Origin(Path(root), behaviour) as origin:
        print(origin.port, flush=True)
        for line in sys.stdin:
            print(len(origin.asked(line.strip())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
