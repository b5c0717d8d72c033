"""From starting the command to the first ready answer, and what is resident when idle."""

from __future__ import annotations

from benchmarks.contestants import Proxy
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

READY_LIMIT = 0.7  # seconds
RESIDENT_LIMIT = 90.0  # MB


def run(stage: Stage) -> Report:
    """With an empty cache, then with one that remembers very many things."""
    with Upstream(stage.upstream_folder()) as upstream:
        proxy = Proxy(stage.folder, upstream)
        findings = _starts(proxy, stage.rounds, "empty cache")
    what = "start to ready, and idle memory"
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
