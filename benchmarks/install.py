"""Installing: sixty wheels with uv against the index itself, thirty packages against nginx.

The proxy has seen everything once; every client starts with an empty cache of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contestants import Contestant, contestants
from benchmarks.measure import Spread
from benchmarks.report import Finding, Report, finding
from benchmarks.resolve import WANTED, uv_environment, where_pip_asks
from benchmarks.stage import Stage
from benchmarks.upstream import Upstream
from tests.lab.channel import Recipe, build_channel
from tests.lab.clients import Rattler, Uv
from tests.lab.server import MirrorConfig, ProxyServer

FASTER = 3.0  # times the index itself
AS_NGINX = 0.9  # of the speed from nginx
PACKAGES = 30
PAYLOAD = 1_000_000  # bytes each


def run(stage: Stage) -> Report:
    """Wheels first; they are left out where the index of this machine's pip is out of reach."""
    wheels, notes = _wheels(stage)
    packages, more = _packages(stage)
    what = f"a closure of {len(WANTED)} projects with uv; {PACKAGES} packages with py-rattler"
    findings = [*wheels, *packages]
    return Report(name="install", what=what, findings=findings, notes=[*notes, *more])


def _wheels(stage: Stage) -> tuple[list[Finding], list[str]]:
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    seconds: dict[str, list[float]] = {"direct": [], "pkgproxy": []}
    with ProxyServer(stage.folder / "wheels", [mirror], inherit_environment=True) as proxy:
        through = f"{proxy.url}/pypi/pypi/simple/"
        try:
            _uv(stage.folder, through)
        except subprocess.CalledProcessError as error:
            said = str(error.stderr)[-200:]
            return [], [f"wheels: the index of this machine's pip cannot be used: {said}"]
        for _ in range(stage.rounds):
            for name, url in (("direct", where_pip_asks()), ("pkgproxy", through)):
                seconds[name].append(_uv(stage.folder, url))
    ratio = Spread.of_ratios(seconds["direct"], seconds["pkgproxy"])
    return [
        *(finding("wheels, uv", name, values, "s") for name, values in seconds.items()),
        finding("wheels, uv", "direct / ours", ratio, "ratio", at_least=FASTER),
    ], []


def _uv(folder: Path, index: str) -> float:
    """Seconds to resolve, fetch, unpack and link."""
    scratch = folder / "client"
    target = scratch / "site"
    environment = uv_environment(scratch / "cache")
    command = [str(Uv.executable()), "pip", "install", "--target", str(target)]
    command += ["--default-index", index, "--only-binary", ":all:", *WANTED]
    begun = time.perf_counter()
    subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=600
    )
    took = time.perf_counter() - begun
    shutil.rmtree(scratch)
    return took


def _packages(stage: Stage) -> tuple[list[Finding], list[str]]:
    recipes = [
        Recipe(
            name=f"part{number}",
            payload=PAYLOAD,
            depends=(f"part{number - 1}",) if number else (),
        )
        for number in range(PACKAGES)
    ]
    build_channel(stage.upstream_folder() / "channel", recipes)
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        present, note = contestants(stage.folder, upstream, direct=False)
        seconds: dict[str, list[float]] = {}
        for contestant in present:
            stack.enter_context(contestant)
            _rattler(stage.folder, contestant)
        for _ in range(stage.rounds):
            for contestant in present:
                took = _rattler(stage.folder, contestant)
                seconds.setdefault(contestant.name, []).append(took)
    found = [finding("packages, py-rattler", name, took, "s") for name, took in seconds.items()]
    if "nginx" in seconds:
        ratio = Spread.of_ratios(seconds["nginx"], seconds["pkgproxy"])
        label = "speed to nginx's"
        found.append(finding("packages, py-rattler", label, ratio, "ratio", at_least=AS_NGINX))
    return found, [note] if note else []


def _rattler(folder: Path, contestant: Contestant) -> float:
    scratch = folder / "rattler"
    client = Rattler(scratch)
    url = f"http://127.0.0.1:{contestant.port}{contestant.path('/channel/')}".rstrip("/")
    took = _timed(lambda: client.install(url, f"part{PACKAGES - 1}"))
    shutil.rmtree(scratch)
    return took


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
