"""Resolving with uv: a closure of sixty packages from the index that pip here is configured for.

Each time uv starts with an empty cache. The same resolution, directly from the index, through the
proxy, which has seen it once, and from nginx, which has what the proxy answers as files: what uv
takes from that is its own time. The index may have no metadata beside its wheels; the proxy has
them for each. Bytes are counted on the wire, in runs of their own through a relay.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.floor import Floor
from benchmarks.measure import Spread
from benchmarks.relay import Relay
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

SIMPLE = "/pypi/pypi/simple/"
FASTER = 1.25  # times, at the least, to win clearly


def run(stage: Stage) -> Report:
    """See above; skips, saying so, where the index cannot be reached."""
    what = f"uv resolves {len(WANTED)} projects with all that they need, its own cache empty"
    direct = where_pip_asks()
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    seconds: dict[str, list[float]] = {}
    proxy = ProxyServer(stage.folder / "proxy", [mirror], inherit_environment=True)
    with ExitStack() as stack:
        stack.enter_context(proxy)
        through = f"{proxy.url}{SIMPLE}"
        try:
            count = _resolve(stage.folder, through)[1]  # the proxy has seen it once
        except subprocess.CalledProcessError as error:
            note = f"skipped: the index of this machine's pip cannot be used: {error.stderr[-200:]}"
            return Report(name="resolve", what=what, findings=[], notes=[note])
        sources = {"direct": direct, "pkgproxy": through, **floor_of(stack, stage, proxy)}
        for _ in range(stage.rounds):
            for name, url in sources.items():
                seconds.setdefault(name, []).append(_resolve(stage.folder, url)[0])
        received = on_the_wire(
            lambda url, more: _resolve(stage.folder, url, more), direct, proxy.port
        )
    findings = [
        *(finding("wall time", name, values, "s") for name, values in seconds.items()),
        *(finding("received", name, [size / MB], "MB") for name, size in received.items()),
        *(
            finding(
                f"direct to {name}",
                name,
                Spread.of_ratios(seconds["direct"], values),
                "x",
                at_least=FASTER if name == "pkgproxy" else None,
            )
            for name, values in seconds.items()
            if name != "direct"
        ),
    ]
    return Report(
        name="resolve", what=what, findings=findings, notes=[f"{count} packages resolved"]
    )


def where_pip_asks() -> str:
    """The index that pip on this machine is configured for."""
    return PipIndex(os.environ).result()


def floor_of(stack: ExitStack, stage: Stage, proxy: ProxyServer) -> dict[str, str]:
    """The index at nginx that has what *proxy* answered so far, by name; none without nginx."""
    if Floor.missing() is not None:
        return {}
    floor = Floor(stage.folder)
    floor.copy(proxy)
    stack.enter_context(floor)
    return {floor.name: f"http://127.0.0.1:{floor.port}{SIMPLE}"}


def on_the_wire(
    run_from: Callable[[str, Mapping[str, str]], object], direct: str, port: int
) -> dict[str, int]:
    """Bytes that one run receives from the index itself, TLS and all, and from the proxy at *port*.

    *run_from* is given an index and variables to be added to the client's environment.
    """
    with Relay() as tunnels:
        run_from(direct, tunnels.environment)
    with Relay(port) as relay:
        run_from(f"http://127.0.0.1:{relay.port}{SIMPLE}", {})
    return {"direct": tunnels.received, "pkgproxy": relay.received}


def uv_environment(cache: Path) -> dict[str, str]:
    """For a uv that knows nothing but its command line, with its cache in *cache*."""
    return {
        **os.environ,
        "UV_CACHE_DIR": str(cache),
        "UV_NO_CONFIG": "1",
        "UV_INDEX": "",
        "UV_FIND_LINKS": "",
    }


def _resolve(folder: Path, index: str, more: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Seconds, packages. *more*: further variables."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    environment = {**uv_environment(cache), **(more or {})}
    target = ["--target", str(cache / "none"), "--default-index", index, "--only-binary", ":all:"]
    command = [str(Uv.executable()), "pip", "install", "--dry-run", *target, *WANTED]
    begun = time.perf_counter()
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    took = time.perf_counter() - begun
    shutil.rmtree(cache)
    return took, sum(line.startswith(" + ") for line in done.stderr.splitlines())
