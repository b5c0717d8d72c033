"""Resolving with uv: a closure of sixty packages from the index that pip here is configured for.

Each time uv starts with an empty cache. The same resolution, directly from the index and through
the proxy, which has seen it once. The index may have no metadata beside its wheels; the proxy has
them for each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report, finding
from benchmarks.stage import MB, Stage
from proxy.upstream.pip_index import PipIndex
from tests.lab.clients import Uv
from tests.lab.server import MirrorConfig, ProxyServer

WANTED = (
    *("requests", "rich", "httpx", "pydantic", "fastapi", "uvicorn", "jinja2", "sqlalchemy"),
    *("click", "typer", "attrs", "pytest", "flask", "numpy", "pandas", "packaging", "aiohttp"),
    *("cryptography", "pyyaml", "beautifulsoup4", "black", "mypy", "tqdm", "websockets"),
)
"""Together with what they need, about sixty."""

FASTER = 1.25  # times, at the least, to win clearly


def run(stage: Stage) -> Report:
    """See above; skips, saying so, where the index cannot be reached."""
    what = f"uv resolves {len(WANTED)} projects with all that they need, its own cache empty"
    direct = where_pip_asks()
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    seconds: dict[str, list[float]] = {"direct": [], "pkgproxy": []}
    received: dict[str, list[float]] = {"direct": [], "pkgproxy": []}
    proxy = ProxyServer(stage.folder / "proxy", [mirror], inherit_environment=True)
    with proxy:
        through = f"{proxy.url}/pypi/pypi/simple/"
        try:
            count = _resolve(stage.folder, through)[2]  # the proxy has seen it once
        except subprocess.CalledProcessError as error:
            note = f"skipped: the index of this machine's pip cannot be used: {error.stderr[-200:]}"
            return Report(name="resolve", what=what, findings=[], notes=[note])
        for _ in range(stage.rounds):
            for name, url in (("direct", direct), ("pkgproxy", through)):
                took, size, _ = _resolve(stage.folder, url)
                seconds[name].append(took)
                received[name].append(size / MB)
    ratios = [a / b for a, b in zip(seconds["direct"], seconds["pkgproxy"], strict=True)]
    findings = [
        *(finding("wall time", name, values, "s") for name, values in seconds.items()),
        *(finding("received", name, values, "MB") for name, values in received.items()),
        finding("direct to pkgproxy", "pkgproxy", ratios, "x", at_least=FASTER),
    ]
    return Report(
        name="resolve", what=what, findings=findings, notes=[f"{count} packages resolved"]
    )


def where_pip_asks() -> str:
    """The index that pip on this machine is configured for."""
    return PipIndex(os.environ).result()


def uv_environment(cache: Path) -> dict[str, str]:
    """For a uv that knows nothing but its command line, with its cache in *cache*."""
    return {
        **os.environ,
        "UV_CACHE_DIR": str(cache),
        "UV_NO_CONFIG": "1",
        "UV_INDEX": "",
        "UV_FIND_LINKS": "",
    }


def _resolve(folder: Path, index: str) -> tuple[float, int, int]:
    """Seconds, bytes that uv kept of what it received, packages."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    environment = uv_environment(cache)
    target = ["--target", str(cache / "none"), "--default-index", index, "--only-binary", ":all:"]
    command = [str(Uv.executable()), "pip", "install", "--dry-run", *target, *WANTED]
    begun = time.perf_counter()
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    took = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    shutil.rmtree(cache)
    return took, size, sum(line.startswith(" + ") for line in done.stderr.splitlines())
