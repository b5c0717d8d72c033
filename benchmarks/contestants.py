"""Who is measured: this proxy, nginx `proxy_cache`, and the upstream itself.

Each serves the same folder of one upstream and is told the path there; a contestant that is not
installed says so and is left out. All listen on 127.0.0.1 and are ended by their own id.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from benchmarks.measure import SERVER_CORE, pin_prefix
from benchmarks.peers import Nginx
from benchmarks.python_peers import linked
from benchmarks.upstream import Upstream
from tests.lab.server import MirrorConfig, ProxyServer


class Contestant(Protocol):
    """A server in front of an upstream, or none."""

    name: str
    port: int

    @property
    def pid(self) -> int | None:
        """Of the root of its process tree; None where it has no process of its own."""
        ...

    def path(self, upstream_path: str) -> str:
        """Where this contestant serves what upstream has at *upstream_path* (`/files/...`)."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Direct:
    """No proxy: the clients ask upstream itself."""

    name = "direct"
    pid = None

    def __init__(self, upstream: Upstream) -> None:
        self.port = upstream.port

    def path(self, upstream_path: str) -> str:
        return upstream_path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Proxy:
    """This proxy, with one mirror of each type: `/files/`, `/simple/` and `/channel/` upstream."""

    name = "pkgproxy"

    def __init__(self, folder: Path, upstream: Upstream, *, workers: int = 1) -> None:
        if workers > 1:
            self.name = f"pkgproxy, {workers} workers"
        base = f"http://127.0.0.1:{upstream.port}"
        mirrors = [
            MirrorConfig(type="files", name="bench", source=f"{base}/files/"),
            MirrorConfig(type="pypi", name="bench", source=f"{base}/index/simple/"),
            MirrorConfig(type="conda", name="bench", source=f"{base}/channel/"),
        ]
        prefix = pin_prefix(SERVER_CORE)
        self.server = ProxyServer(folder / self.name, mirrors, workers=workers, prefix=prefix)
        self.port = self.server.port

    @property
    def pid(self) -> int:
        return self.server.pid

    def path(self, upstream_path: str) -> str:
        for of_upstream, of_ours in (
            ("/files/", "/files/bench/"),
            ("/index/simple/", "/pypi/bench/simple/"),
            ("/channel/", "/conda/bench/"),
        ):
            if upstream_path.startswith(of_upstream):
                return of_ours + upstream_path.removeprefix(of_upstream)
        return linked(self.port, "/pypi/bench/simple/", upstream_path)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()


def contestants(folder: Path, upstream: Upstream, *, direct: bool) -> tuple[list[Contestant], str]:
    """Those that can run here, this proxy first; and a note on who is missing."""
    able: list[Contestant] = [Proxy(folder, upstream)]
    note = ""
    missing = Nginx.missing()
    if missing is None:
        able.append(Nginx(folder, upstream))
    else:
        note = missing
    return [*able, *([Direct(upstream)] if direct else [])], note


def names(present: Sequence[Contestant]) -> list[str]:
    """For reports."""
    return [one.name for one in present]
