"""An R repository as large as CRAN: how long its index takes to be shown.

The index is made up, with 24,000 records of CRAN's fields. Rendered is what the first client needs,
PACKAGES.rds and what the gate looks files up in, in the process that the server renders in (which
is less urgent than all else); then the same under a policy that looks at every licence.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.report import Finding, Report, finding
from benchmarks.stage import Stage
from proxy.core.policy import Effect, Licences, Policy, Rule
from proxy.ecosystems.base import Context
from proxy.ecosystems.cran import paths
from proxy.gateway.pool import Pool
from proxy.gateway.render import RenderJob, render

RECORDS = 24_000
LIMIT = 0.5  # seconds
FORMS = frozenset({"rds", "rows"})
MIRROR = "cran/bench"
LICENCES = ("GPL (>= 2)", "GPL-3", "MIT + file LICENSE", "Apache License (== 2.0)")
NO_GPL = Policy(
    name="bench",
    rules=(
        Rule(
            name="no-gpl",
            effect=Effect.DENY,
            condition=Licences(families=("AGPL", "GPL", "GPL2", "GPL3")),
        ),
    ),
)


def run(stage: Stage) -> Report:
    """Of each kind several times, in a process that is warm."""
    text = packages(RECORDS)
    blob = stage.folder / "PACKAGES.gz"
    blob.write_bytes(gzip.compress(text))
    open_context = Context(mirror=MIRROR)
    findings = asyncio.run(
        _rendered(
            stage,
            blob,
            {"everything": open_context, "by licence": replace(open_context, policy=NO_GPL)},
        )
    )
    notes = [f"{RECORDS} records, {len(text) / 1e6:.1f} MB; {blob.stat().st_size / 1e6:.1f} packed"]
    return Report(name="cran", what="an index of CRAN's size", findings=findings, notes=notes)


def packages(count: int) -> bytes:
    """A PACKAGES of *count* records, the same each time."""
    source = random.Random(count)
    names = [f"{source.choice('abcdefghijklmnopqrstuvwxyz')}pkg{number}" for number in range(count)]
    return "\n".join(_record(name, names, source) for name in sorted(names)).encode()


def _record(name: str, names: list[str], source: random.Random) -> str:
    def some(most: int) -> list[str]:
        return source.sample(names, min(source.randrange(most), len(names)))

    lines = [
        f"Package: {name}",
        f"Version: {source.randrange(9)}.{source.randrange(20)}.{source.randrange(9)}",
        f"Depends: {', '.join(['R (>= 3.5.0)', *some(3)])}",
        f"Imports: {', '.join(['methods', *some(8)])}",
        f"Suggests: {', '.join(['testthat (>= 3.0.0)', 'knitr', 'rmarkdown', *some(5)])}",
        f"License: {source.choice(LICENCES)}",
        f"MD5sum: {source.randbytes(16).hex()}",
        f"NeedsCompilation: {source.choice(['yes', 'no'])}",
    ]
    if source.random() < 0.3:
        lines.insert(4, "LinkingTo: Rcpp, RcppArmadillo")
    return "\n".join([*lines, ""])


async def _rendered(stage: Stage, blob: Path, contexts: dict[str, Context]) -> list[Finding]:
    pool, findings = Pool(), []
    try:
        for label, context in contexts.items():
            job = job_of(stage.folder, blob, context)
            await _timed(pool, job)  # the process starts, and has its modules read
            times = [await _timed(pool, job) for _ in range(2 * stage.rounds)]
            wall, cpu = zip(*times, strict=True)
            findings += [
                finding(f"rendered, {label}: CPU", "pkgproxy", cpu, "s", at_most=LIMIT),
                finding(f"rendered, {label}: elapsed", "pkgproxy", wall, "s"),
            ]
    finally:
        await pool.aclose()
    return findings


async def _timed(pool: Pool, job: RenderJob) -> tuple[float, float]:
    """Seconds that passed until the views were there, and of the process that made them."""
    started = time.perf_counter()
    cpu = await pool.run(measured, job, size=job.blob.stat().st_size)
    return time.perf_counter() - started, cpu


def measured(job: RenderJob) -> float:
    """Seconds of this process for *job*."""
    started = time.process_time()
    outputs = render(job)
    seconds = time.process_time() - started
    for output in outputs:
        output.path.unlink()
    return seconds


def job_of(folder: Path, blob: Path, context: Context) -> RenderJob:
    """What makes the first views of the index at *blob*; they are written into *folder*."""
    return RenderJob(
        index=paths.packages(MIRROR, "src/contrib"),
        blob=blob,
        source="src/contrib/PACKAGES.gz",
        media_type="application/gzip",
        url="https://cran.example.org/src/contrib/PACKAGES.gz",
        context=context,
        forms=FORMS,
        workspace=folder,
    )
