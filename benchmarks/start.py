"""From starting the command to the first ready answer, and what is resident when idle."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contestants import Proxy
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from proxy.core.model import Digest, Entry, Validators
from proxy.storage.catalog import DiskCatalog
from proxy.storage.catalog_file import writing
from proxy.storage.rows import encoded, put_in

READY_LIMIT = 0.7  # seconds
RESIDENT_LIMIT = 90.0  # MB
ENTRIES = 200_000


def run(stage: Stage) -> Report:
    """With an empty cache, then with one that remembers very many things."""
    with Upstream(stage.upstream_folder()) as upstream:
        proxy = Proxy(stage.folder, upstream)
        findings = _starts(proxy, stage.rounds, "empty cache")
        # Beside whatever the proxy itself wrote at its first start.
        (database,) = (proxy.server.folder / "cache").rglob("cache.db")
        fill_catalog(database.parent, range(ENTRIES))
        findings += _starts(proxy, stage.rounds, f"{ENTRIES} entries")
    what = "start to ready, and idle memory of all processes"
    return Report(name="start", what=what, findings=findings)


def _starts(proxy: Proxy, rounds: int, label: str) -> list[Finding]:
    seconds, resident = [], []
    for _ in range(rounds):
        with proxy:
            seconds.append(proxy.server.started_in)
            resident.append(proxy.server.rss() / MB)
    return [
        finding(f"start to ready, {label}", proxy.name, seconds, "s", at_most=READY_LIMIT),
        finding(f"idle memory, {label}", proxy.name, resident, "MB", at_most=RESIDENT_LIMIT),
    ]


def fill_catalog(folder: Path, numbers: Iterable[int]) -> None:
    """Write the entries of these numbers into the catalog in *folder*, which is made if need be."""
    asyncio.run(DiskCatalog(folder).aclose())
    with contextlib.closing(writing(folder)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # a million transactions would take minutes
        for one in map(entry, numbers):
            put_in(connection, one.key, encoded(one))
        connection.execute("COMMIT")


def entry(number: int) -> Entry:
    """The entry of that number."""
    path = f"packages/package-{number}-1.0-0.conda"
    return Entry(
        key=f"files/bench {path}",
        digest=Digest(hashlib.sha256(path.encode()).hexdigest()),
        size=1_000_000,
        media_type="application/octet-stream",
        source=path,
        url=f"http://origin.example.org/{path}",
        validators=Validators(etag=f'"{number:x}"', last_modified="Tue, 14 Nov 2023 22:13:20 GMT"),
        checked_at=1_700_000_000.0,
        fresh_for=3600.0,
        headers={"cache-control": "max-age=3600"},
    )
