"""An active mirror's run beside clients: how long a hit waits while thousands of files are fetched.

The same small hits at the same rate, alone and while the run goes on. Every file is fetched once.
Memory is looked at while the run's process has the last place, which it has while files come; its
own apart from that of the server's others. It must not grow with the files that have come.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.measure import SERVER_CORE, ahead, pin_prefix
from benchmarks.mixed import latencies
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from tests.lab.processes import resident_of, tree
from tests.lab.server import MirrorConfig, ProxyServer, free_port

PACKAGES = 20_000
SOME = 3_000  # unless the whole scale is asked for
SIZE = 3000  # bytes each
TIMES = 2.0  # as long as without the run, at the most
EVERY = 0.5  # seconds between two looks at memory
GROWTH = 1.1  # memory of the last quarter to that of the second, at the most
PATIENCE = 900.0  # seconds for a run

_RUNS = "/api/v1/mirrors/conda%2Fbench"


@dataclass(frozen=True, slots=True)
class _Served:
    """What `latencies` asks for: a small file of another mirror."""

    port: int

    def path(self, _: str) -> str:
        return "/files/bench/small-0.bin"


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes resident: the run's process with its own, and the server's others."""

    server: int
    run: int

    @classmethod
    def of(cls, pid: int) -> _Memory:
        """As it is now, of the server with that process."""
        everything = set(tree(pid))
        run = {one for it in everything if _has_last_place(it) for one in tree(it)}
        return cls(server=resident_of(everything - run), run=resident_of(run))


def run(stage: Stage) -> Report:
    """See above."""
    count = PACKAGES if stage.full else SOME
    stage.plain_files("small", 4000, 1)
    _channel(stage.upstream_folder() / "channel", count)
    port = free_port()
    with Upstream(stage.upstream_folder()) as upstream:
        base = f"http://127.0.0.1:{upstream.port}"
        mirrors = [
            MirrorConfig(
                type="conda", name="bench", source=f"{base}/channel/", options={"mode": "active"}
            ),
            MirrorConfig(type="files", name="bench", source=f"{base}/files/"),
        ]
        server = ProxyServer(
            stage.folder / "server",
            mirrors,
            tables={"admin": {"listen": f"127.0.0.1:{port}"}},
            prefix=pin_prefix(SERVER_CORE),
        )
        with server:
            served = _Served(server.port)
            _p99(served)
            alone = [_p99(served) for _ in range(stage.rounds)]
            begun = time.monotonic()
            _asked(port, "POST", f"{_RUNS}/run")
            during: list[float] = []
            with _watched(server.pid) as memory:
                while _state(port) in ("queued", "running"):
                    during.append(_p99(served))
                    if time.monotonic() - begun > PATIENCE:
                        raise TimeoutError("the run does not end")
                took = time.monotonic() - begun
            counts = _asked(port, "GET", _RUNS)["latest"]["counts"]
    ratio = statistics.median(during) / statistics.median(alone)
    return Report(
        name="active",
        what=f"a run of {count} files of {SIZE} bytes beside hits at a steady rate",
        findings=[
            finding("files fetched", "pkgproxy", [counts["fetched"]], "", at_least=count),
            finding("files failed", "pkgproxy", [counts["failed"]], "", at_most=0),
            finding("the run", "pkgproxy", [took], "s"),
            finding("p99 of hits, alone", "pkgproxy", alone, "ms"),
            finding("p99 of hits, beside the run", "pkgproxy", during, "ms"),
            finding("beside to alone", "pkgproxy", [ratio], "ratio", at_most=TIMES),
            *_resident("the server", [one.server for one in memory]),
            *_resident("the run", [one.run for one in memory]),
        ],
        notes=[
            "server and run are bound to one processor, upstream and clients to the other",
            "clients come before upstream there, so that they do not measure their own waiting",
        ],
    )


def _p99(served: _Served) -> float:
    with ahead():
        times = asyncio.run(latencies(served))
    return 1000 * statistics.quantiles(times, n=100)[-1]


def _channel(folder: Path, count: int) -> None:
    rows: dict[str, Mapping[str, object]] = {}
    for subdir in ("noarch", "linux-64"):
        (folder / subdir).mkdir(parents=True)
    for number in range(count):
        name = f"package{number:05}"
        body = Random(number).randbytes(SIZE)
        filename = f"{name}-1.0-0.conda"
        (folder / "noarch" / filename).write_bytes(body)
        rows[filename] = {
            "name": name,
            "version": "1.0",
            "build": "0",
            "build_number": 0,
            "depends": [],
            "sha256": hashlib.sha256(body).hexdigest(),
            "size": SIZE,
        }
    for subdir, kept in (("noarch", rows), ("linux-64", {})):
        index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": kept}
        (folder / subdir / "repodata.json").write_text(json.dumps(index))


def _state(port: int) -> str:
    with suppress(KeyError, TypeError):
        return str(_asked(port, "GET", _RUNS)["latest"]["state"])
    return "queued"


@contextmanager
def _watched(pid: int) -> Iterator[list[_Memory]]:
    """What a process of its own sees until the block is left: clients wait for nothing of ours."""
    looks: list[_Memory] = []
    ours, theirs = multiprocessing.Pipe()
    watch = multiprocessing.get_context("spawn").Process(target=_watch, args=(theirs, pid))
    watch.start()
    theirs.close()
    try:
        yield looks
        ours.send(None)
        looks += ours.recv()
        if not looks:
            raise RuntimeError("the run never had the last place")
    finally:
        watch.terminate()
        watch.join()


def _watch(link: Connection, pid: int) -> None:
    looks = []
    while not link.poll(EVERY):
        if (look := _Memory.of(pid)).run:
            looks.append(look)
    link.send(looks)


def _has_last_place(pid: int) -> bool:
    with suppress(ProcessLookupError):
        return os.sched_getscheduler(pid) == os.SCHED_IDLE
    return False


def _resident(whose: str, looks: Sequence[int]) -> list[Finding]:
    quarter = max(1, len(looks) // 4)
    second, last = looks[quarter : 2 * quarter], looks[-quarter:]
    ratio = statistics.mean(last) / statistics.mean(second)
    name = f"resident memory of {whose}"
    return [
        finding(name, "pkgproxy", [one / MB for one in looks], "MB"),
        finding(f"{name}, last to second quarter", "pkgproxy", [ratio], "ratio", at_most=GROWTH),
    ]


def _asked(port: int, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise RuntimeError(f"{method} {path} answered {response.status}: {body[:500]!r}")
    return json.loads(body)
