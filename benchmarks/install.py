"""Installing: sixty wheels with uv against the index itself, thirty packages against nginx.

The proxy has seen everything once; every client starts with an empty cache of its own. What uv
takes from nginx, which has all that it asks for as files, is what no server can be faster than.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contestants import Proxy, contestants
from benchmarks.floor import Floor
from benchmarks.measure import Spread
from benchmarks.peers import Nginx
from benchmarks.report import Finding, Report, finding
from benchmarks.resolve import (
    SIMPLE,
    WANTED,
    floor_of,
    on_the_wire,
    uv_environment,
    where_pip_asks,
)
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from tests.lab.channel import Recipe, build_channel
from tests.lab.clients import Rattler, Uv
from tests.lab.server import MirrorConfig, ProxyServer

FASTER = 3.0  # times the index itself
AS_NGINX = 0.9  # of the speed from nginx
PACKAGES = 30
PAYLOAD = 1_000_000  # bytes each
_SHARDS = (
    "packages: the floor has the same files, shards among them; behind nginx's cache there is the"
    " upstream's repodata.json.zst alone, which in a channel of thirty packages is read sooner"
)


def run(stage: Stage) -> Report:
    """Wheels first; they are left out where the index of this machine's pip is out of reach."""
    wheels, notes = _wheels(stage)
    packages, more = _packages(stage)
    what = f"a closure of {len(WANTED)} projects with uv; {PACKAGES} packages with py-rattler"
    findings = [*wheels, *packages]
    return Report(name="install", what=what, findings=findings, notes=[*notes, *more])


def _wheels(stage: Stage) -> tuple[list[Finding], list[str]]:
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    seconds: dict[str, list[float]] = {}
    direct = where_pip_asks()
    proxy = ProxyServer(stage.folder / "wheels", [mirror], inherit_environment=True)
    with ExitStack() as stack:
        stack.enter_context(proxy)
        through = f"{proxy.url}{SIMPLE}"
        try:
            _uv(stage.folder, through)
        except subprocess.CalledProcessError as error:
            said = str(error.stderr)[-200:]
            return [], [f"wheels: the index of this machine's pip cannot be used: {said}"]
        sources = {"direct": direct, "pkgproxy": through, **floor_of(stack, stage, proxy)}
        for _ in range(stage.rounds):
            for name, url in sources.items():
                seconds.setdefault(name, []).append(_uv(stage.folder, url))
        received = on_the_wire(lambda url, more: _uv(stage.folder, url, more), direct, proxy.port)
    found = [finding("wheels, uv", name, values, "s") for name, values in seconds.items()]
    found += [
        finding("wheels, uv: received", name, [size / MB], "MB") for name, size in received.items()
    ]
    for name, values in seconds.items():
        if name != "direct":
            ratio = Spread.of_ratios(seconds["direct"], values)
            least = FASTER if name == "pkgproxy" else None
            found.append(finding("wheels, uv", f"direct / {name}", ratio, "ratio", at_least=least))
    return found, []


def _uv(folder: Path, index: str, more: Mapping[str, str] | None = None) -> float:
    """Seconds to resolve, fetch, unpack and link. *more*: further variables."""
    scratch = folder / "client"
    target = scratch / "site"
    environment = {**uv_environment(scratch / "cache"), **(more or {})}
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
            # As in real environments, which are wider than deep.
            depends=tuple(f"part{n}" for n in (2 * number + 1, 2 * number + 2) if n < PACKAGES),
        )
        for number in range(PACKAGES)
    ]
    build_channel(stage.upstream_folder() / "channel", recipes)
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        present, note = contestants(stage.folder, upstream, direct=False)
        seconds: dict[str, list[float]] = {}
        urls: dict[str, str] = {}
        for contestant in present:
            stack.enter_context(contestant)
            path = contestant.path("/channel/").rstrip("/")
            urls[contestant.name] = f"http://127.0.0.1:{contestant.port}{path}"
            _rattler(stage.folder, urls[contestant.name])
            if isinstance(contestant, Proxy) and Floor.missing() is None:
                floor = Floor(stage.folder)
                floor.copy(contestant.server)
                stack.enter_context(floor)
                urls[floor.name] = f"http://127.0.0.1:{floor.port}{path}"
        for _ in range(stage.rounds):
            for name, url in urls.items():
                seconds.setdefault(name, []).append(_rattler(stage.folder, url))
    found = [finding("packages, py-rattler", name, took, "s") for name, took in seconds.items()]
    for name, least in ((Floor.name, AS_NGINX), (Nginx.name, None)):
        if name in seconds:
            ratio = Spread.of_ratios(seconds[name], seconds["pkgproxy"])
            label = f"speed to that of {name}"
            found.append(finding("packages, py-rattler", label, ratio, "ratio", at_least=least))
    return found, [note, _SHARDS] if note else [_SHARDS]


def _rattler(folder: Path, url: str) -> float:
    scratch = folder / "rattler"
    client = Rattler(scratch)
    took = _timed(lambda: client.install(url, "part0"))
    shutil.rmtree(scratch)
    return took


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
