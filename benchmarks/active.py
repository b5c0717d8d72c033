"""An active mirror's run beside clients: how long a hit waits while thousands of files are fetched.

The same small hits at the same rate, alone and while the run goes on. Every file is fetched once;
memory is that of the server's processes together, the run's own included.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.measure import SERVER_CORE, ahead, pin_prefix
from benchmarks.mixed import latencies
from benchmarks.report import Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from tests.lab.server import MirrorConfig, ProxyServer, free_port

PACKAGES = 20_000
SOME = 3_000  # unless the whole scale is asked for
SIZE = 3000  # bytes each
TIMES = 2.0  # as long as without the run, at the most
PATIENCE = 900.0  # seconds for a run

_RUNS = "/api/v1/mirrors/conda%2Fbench"


@dataclass(frozen=True, slots=True)
class _Served:
    """What `latencies` asks for: a small file of another mirror."""

    port: int

    def path(self, _: str) -> str:
        return "/files/bench/small-0.bin"


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
            before = server.rss()
            begun = time.monotonic()
            _asked(port, "POST", f"{_RUNS}/run")
            during, memory = [], [before]
            while _state(port) in ("queued", "running"):
                during.append(_p99(served))
                memory.append(server.rss())
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
            finding("resident memory", "pkgproxy", [one / MB for one in memory], "MB"),
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
