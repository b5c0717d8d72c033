"""Small hits among everything else: large hits, misses, and a filtered index made behind them.

Clients ask at a steady rate, so that what is measured is how long a small answer waits behind
other work, not how much work there is. First the small hits alone, then the same among the rest,
which a process of its own asks for: who reads large bodies and times small answers by turns would
measure how long they wait for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import statistics
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Protocol

from benchmarks import channel
from benchmarks.contestants import Contestant, Proxy
from benchmarks.measure import LOAD_CORE, ahead
from benchmarks.peers import Nginx
from benchmarks.policy_rules import toml
from benchmarks.report import Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

RATE = 400  # small hits per second
CONNECTIONS = 32
SECONDS = 10
RECORDS = 60_000  # of the index that is rendered
LARGE = 4 * MB
LARGES = 36  # per second
MISSES = 4  # per second
KEPT_READY = 20 * SECONDS  # misses of a round, however slow
TIMES = 3.0  # as long as alone, at the most


def run(stage: Stage) -> Report:
    """Both for this proxy; nginx, which renders nothing, shows what the machine does."""
    stage.plain_files("small", 4000, 1)
    stage.plain_files("large", LARGE, 1)
    stage.plain_files("miss", 4000, KEPT_READY * stage.rounds)
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
        for number in range(stage.rounds):
            for one in present:
                found = taken.setdefault(one.name, {"alone": [], "mixed": []})
                found["alone"].append(_p99(one))
                if one is proxy:
                    _new_policy(proxy, number)
                with _rest(_Rest.of(one, number)):
                    found["mixed"].append(_p99(one))
    findings = []
    for name, found in taken.items():
        for kind, values in found.items():
            findings.append(finding(f"p99 of small hits, {kind}", name, values, "ms"))
        ratios = [one / other for one, other in zip(found["mixed"], found["alone"], strict=True)]
        limit = TIMES if name == Proxy.name else None
        findings.append(finding("mixed to alone", name, ratios, "ratio", at_most=limit))
    what = f"{RATE} small hits per second over {CONNECTIONS} connections"
    notes = [
        f"beside them {LARGES} files of {LARGE // MB} MB, and {MISSES} not here yet, per second",
        f"{RECORDS} records rendered",
        "who times the small hits comes before who asks for the rest",
    ]
    return Report(name="mixed", what=what, findings=findings, notes=notes)


def _new_policy(proxy: Proxy, number: int) -> None:
    """From now on every view of the channel has to be made anew, which somebody asks for."""
    server = proxy.server
    options = {"policy": "bench", "exclude": [f"no-such-{number}-*"]}
    server.mirrors[-1] = replace(server.mirrors[-1], options=options)
    server.write_config()
    server.signal(signal.SIGHUP)


def _p99(contestant: Contestant) -> float:
    """Milliseconds within which 99 % of the small hits were answered."""
    with ahead():
        times = asyncio.run(latencies(contestant))
    return 1000 * statistics.quantiles(times, n=100)[-1]


class Served(Protocol):
    """A server, and where on it a path of upstream's is."""

    @property
    def port(self) -> int: ...
    def path(self, upstream_path: str) -> str: ...


async def latencies(served: Served) -> list[float]:
    """Seconds that each small hit took, asked for at the steady rate."""
    taken: list[float] = []
    path = served.path("/files/small-0.bin")

    def one(number: int) -> Awaitable[None]:
        return _steadily(served.port, number, RATE, CONNECTIONS, lambda: path, taken, SECONDS)

    await asyncio.gather(*map(one, range(CONNECTIONS)))
    return taken


async def _steadily(  # noqa: PLR0917 - of one place
    port: int,
    number: int,
    rate: float,
    connections: int,
    path: Callable[[], str],
    taken: list[float],
    seconds: float,
) -> None:
    """As connection *number* of so many ask at its share of *rate*, or as soon as the last answer
    is complete, for so many *seconds*.
    """
    clock = asyncio.get_running_loop().time
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = clock() + number / rate
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(0.0, due - clock()))
        begun = clock()
        await _ask(reader, writer, path())
        taken.append(clock() - begun)
        due += connections / rate
    writer.close()
    await writer.wait_closed()


# -- the rest, in a process of its own ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What else is asked for: paths on the server at *port*. `misses` has a place for a number,
    which `first` is the first of. `index`: None where nothing is rendered.
    """

    port: int
    large: str
    misses: str
    first: int
    index: str | None

    @classmethod
    def of(cls, one: Contestant, number: int) -> _Rest:
        """That of a round."""
        index = one.path("/channel/linux-64/repodata.json.zst") if isinstance(one, Proxy) else None
        return cls(
            port=one.port,
            large=one.path("/files/large-0.bin"),
            misses=one.path("/files/miss-{}.bin"),
            first=number * KEPT_READY,
            index=index,
        )


@contextlib.contextmanager
def _rest(rest: _Rest) -> Iterator[None]:
    """While entered, the rest is asked for. Raises RuntimeError where that fails."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_asking, args=(theirs, rest))
    process.start()
    theirs.close()
    try:
        ours.recv()  # it begins
        yield
    finally:
        ours.close()
        process.join()
    if process.exitcode:
        raise RuntimeError("the rest could not be had")


def _asking(link: Connection, rest: _Rest) -> None:
    if LOAD_CORE in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {LOAD_CORE})
    asyncio.run(_asked(link, rest))


async def _asked(link: Connection, rest: _Rest) -> None:
    """Until the other end of *link* is closed."""
    misses = iter(range(rest.first, rest.first + KEPT_READY))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(link.fileno(), ended.set)

    def large(number: int) -> Awaitable[None]:
        return _steadily(rest.port, number, LARGES, 8, lambda: rest.large, [], 10 * SECONDS)

    def miss() -> str:
        return rest.misses.format(next(misses))

    tasks = [asyncio.ensure_future(large(number)) for number in range(8)]
    tasks.append(asyncio.ensure_future(_steadily(rest.port, 0, MISSES, 1, miss, [], 10 * SECONDS)))
    if rest.index is not None:
        tasks.append(asyncio.ensure_future(_fetched(rest.port, rest.index)))
    link.send(None)
    await ended.wait()
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
