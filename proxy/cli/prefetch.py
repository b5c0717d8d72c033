"""Prefetch on the command line: a client of a running server, which shows how far it is."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from proxy.cli.prefetch_telling import Order, Outcome, Teller, teller_for
from proxy.mirror.wanted.closing import closing
from proxy.mirror.wanted.fetching import Fetched, fetch
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.reading import read
from proxy.mirror.wanted.targets import Targets, targets_of
from proxy.mirror.wanted.values import Wanted
from proxy.upstream.running import RunningProxy

COMPLETE, INCOMPLETE = 0, 1
"""Exit statuses: all is there; some of it could not be had."""


def run(order: Order) -> int:
    """Prefetch; the exit status. Raises ConfigError, and ProxyError where no server answers."""
    targets = targets_of(order.platforms, order.pythons)
    wanted = Wanted.together(read(file, targets, form=order.form) for file in order.files)
    with teller_for(order) as teller:
        outcome = asyncio.run(_prefetch(order, targets, wanted, teller))
        teller.end(outcome)
    return INCOMPLETE if outcome.failures else COMPLETE


async def _prefetch(order: Order, targets: Targets, wanted: Wanted, teller: Teller) -> Outcome:
    connections = max(order.jobs, 8)  # pages are asked for ahead whatever the files' number
    async with RunningProxy(order.url, connections=connections, token=order.token) as server:
        mirrors = await server.mirrors()
        places = Places(mirrors, order.mirrors)
        with tempfile.TemporaryDirectory(prefix="pkgproxy-") as folder:
            workspace = Path(folder)
            async with closing(
                server, places, targets, workspace=workspace, hear=teller.step
            ) as one:
                closure = await one.close(wanted)
        fetched: list[Fetched] = []
        if not (order.dry_run or order.as_specs):
            teller.begin(len(closure.files))
            fetched = await fetch(closure.files, server, jobs=order.jobs, hear=teller.fetched)
    return Outcome(mirrors=mirrors, closure=closure, fetched=tuple(fetched), notes=wanted.notes)
