"""Small hits among everything else: large hits, misses, and a filtered index made behind them.

Clients ask at a steady rate, so that what is measured is how long a small answer waits behind
other work, not how much work there is. First the small hits alone, then the same among the rest.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Protocol

from benchmarks import channel
from benchmarks.contestants import Contestant, Proxy
from benchmarks.peers import Nginx
from benchmarks.policy_rules import toml
from benchmarks.report import Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

RATE = 400  # requests per second
CONNECTIONS = 32
SECONDS = 10
RECORDS = 60_000  # of the index that is rendered
LARGE = 4 * MB
SHARES = {"small": 0.90, "large": 0.09, "miss": 0.01}
TIMES = 3.0  # as long as alone, at the most


def run(stage: Stage) -> Report:
    """Both for this proxy; nginx, which renders nothing, shows what the machine does."""
    stage.plain_files("small", 4000, 1)
    stage.plain_files("large", LARGE, 1)
    stage.plain_files("miss", 4000, 20 * SECONDS * stage.rounds)
    channel.write(stage.upstream_folder() / "channel", RECORDS)
    taken: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        proxy = Proxy(stage.folder, upstream)
        policies = proxy.server.folder / "policies"
        policies.mkdir(parents=True)
        (policies / "bench.toml").write_text(toml())
        present: list[Contestant] = [stack.enter_context(proxy)]
        if Nginx.missing() is None:
            present.append(stack.enter_context(Nginx(stage.folder, upstream)))
        misses = {one.name: _misses(20 * SECONDS * stage.rounds) for one in present}
        for number in range(stage.rounds):
            for one in present:
                found = taken.setdefault(one.name, {"alone": [], "mixed": []})
                found["alone"].append(_p99(one, iter(()), alone=True))
                if one is proxy:
                    _new_policy(proxy, number)
                found["mixed"].append(_p99(one, misses[one.name], alone=False))
    findings = []
    for name, found in taken.items():
        for kind, values in found.items():
            findings.append(finding(f"p99 of small hits, {kind}", name, values, "ms"))
        ratios = [one / other for one, other in zip(found["mixed"], found["alone"], strict=True)]
        limit = TIMES if name == Proxy.name else None
        findings.append(finding("mixed to alone", name, ratios, "ratio", at_most=limit))
    what = f"{RATE} requests per second over {CONNECTIONS} connections"
    notes = [f"90 % of 4 kB, 9 % of {LARGE // MB} MB, 1 % not here yet; {RECORDS} records rendered"]
    return Report(name="mixed", what=what, findings=findings, notes=notes)


def _misses(count: int) -> Iterator[str]:
    return (f"/files/miss-{number}.bin" for number in range(count))


def _new_policy(proxy: Proxy, number: int) -> None:
    """From now on every view of the channel has to be made anew, which somebody asks for."""
    server = proxy.server
    options = {"policy": "bench", "exclude": [f"no-such-{number}-*"]}
    server.mirrors[-1] = replace(server.mirrors[-1], options=options)
    server.write_config()
    server.signal(signal.SIGHUP)


def _p99(contestant: Contestant, misses: Iterator[str], *, alone: bool) -> float:
    """Milliseconds within which 99 % of the small hits were answered."""
    times = asyncio.run(latencies(contestant, misses, alone=alone))
    return 1000 * statistics.quantiles(times, n=100)[-1]


class Served(Protocol):
    """A server, and where on it a path of upstream's is."""

    @property
    def port(self) -> int: ...
    def path(self, upstream_path: str) -> str: ...


async def latencies(served: Served, misses: Iterator[str], *, alone: bool) -> list[float]:
    """Seconds that each small hit took, asked for at the steady rate; *alone*: nothing else is."""
    taken: list[float] = []
    chosen = Random(1)
    index = None
    if not alone and isinstance(served, Proxy):
        index = asyncio.create_task(
            _fetched(served.port, served.path("/channel/linux-64/repodata.json.zst"))
        )
    await asyncio.gather(
        *(
            _client(served, number / RATE, chosen, misses, taken, alone=alone)
            for number in range(CONNECTIONS)
        )
    )
    if index is not None:
        await index
    return taken


async def _client(
    served: Served,
    start: float,
    chosen: Random,
    misses: Iterator[str],
    taken: list[float],
    *,
    alone: bool,
) -> None:
    """Ask every `CONNECTIONS / RATE` seconds, or as soon as the last answer is complete."""
    clock = asyncio.get_running_loop().time
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    due = clock() + start
    end = due + SECONDS
    while due < end:
        await asyncio.sleep(max(0.0, due - clock()))
        kind = "small" if alone else chosen.choices(list(SHARES), list(SHARES.values()))[0]
        path = next(misses) if kind == "miss" else f"/files/{kind}-0.bin"
        begun = clock()
        await _ask(reader, writer, served.path(path))
        if kind == "small":
            taken.append(clock() - begun)
        due += CONNECTIONS / RATE
    writer.close()
    await writer.wait_closed()


async def _fetched(port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _ask(reader, writer, path)
    writer.close()
    await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """One GET, the body read and dropped. Raises RuntimeError unless it is answered with 200."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(f"{path}: {head.splitlines()[0]}")
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
        return
    left = int(head.partition("content-length:")[2].split("\r\n", 1)[0])
    while left:
        left -= len(await reader.read(min(left, 1 << 18)))
