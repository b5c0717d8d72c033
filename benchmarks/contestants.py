"""Who is measured: this proxy, nginx `proxy_cache`, and the upstream itself.

Each serves the same folder of one upstream and is told the path there; a contestant that is not
installed says so and is left out. All listen on 127.0.0.1 and are ended by their own id.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from benchmarks.measure import SERVER_CORE, pin_prefix, pinned
from benchmarks.upstream import Upstream
from tests.lab.server import MirrorConfig, ProxyServer, free_port

STARTS_WITHIN = 10.0  # seconds


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

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        base = f"http://127.0.0.1:{upstream.port}"
        mirrors = [
            MirrorConfig(type="files", name="bench", source=f"{base}/files/"),
            MirrorConfig(type="pypi", name="bench", source=f"{base}/index/simple/"),
        ]
        prefix = pin_prefix(SERVER_CORE)
        self.server = ProxyServer(folder / "pkgproxy", mirrors, prefix=prefix)
        self.port = self.server.port

    @property
    def pid(self) -> int:
        return self.server.pid

    def path(self, upstream_path: str) -> str:
        for of_upstream, of_ours in (
            ("/files/", "/files/bench/"),
            ("/index/simple/", "/pypi/bench/simple/"),
            ("/index/", "/pypi/bench/"),
        ):
            if upstream_path.startswith(of_upstream):
                return of_ours + upstream_path.removeprefix(of_upstream)
        raise ValueError(f"no mirror of the benchmark serves {upstream_path}")

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()


class Nginx:
    """nginx as a caching reverse proxy, tuned as its documentation advises for large files."""

    name = "nginx"

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.port = free_port()
        self._folder = folder / "nginx"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._config = self._folder / "nginx.conf"
        self._config.write_text(self._text(upstream.port))
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def executable() -> str | None:
        """Where nginx is; None where it is not installed."""
        return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    @property
    def pid(self) -> int:
        assert self._process is not None, "nginx was not started"
        return self._process.pid

    def path(self, upstream_path: str) -> str:
        return upstream_path

    def __enter__(self) -> Self:
        command = [str(self.executable()), "-p", str(self._folder), "-c", str(self._config)]
        self._process = subprocess.Popen(pinned(command, SERVER_CORE))
        deadline = time.monotonic() + STARTS_WITHIN
        while not _listens(self.port):
            if time.monotonic() > deadline:
                self.__exit__()
                raise TimeoutError("nginx does not listen")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None, "nginx was not started"
        self._process.terminate()
        self._process.wait(STARTS_WITHIN)

    def _text(self, upstream_port: int) -> str:
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {self._folder}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""{user}
daemon off; worker_processes 1; pid {self._folder}/pid; error_log {self._folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  {temporary}
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  proxy_cache_path {self._folder}/cache levels=1:2 keys_zone=bench:50m max_size=20g
    inactive=1d use_temp_path=off;
  upstream source {{ server 127.0.0.1:{upstream_port}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=1024;
    location / {{
      proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache bench; proxy_cache_key $uri$http_accept; proxy_cache_lock on;
      proxy_cache_lock_age 600s; proxy_cache_lock_timeout 600s; proxy_cache_revalidate on;
      proxy_cache_valid 200 1h;
    }}
  }}
}}
"""


def contestants(folder: Path, upstream: Upstream, *, direct: bool) -> tuple[list[Contestant], str]:
    """Those that can run here, this proxy first; and a note on who is missing."""
    able: list[Contestant] = [Proxy(folder, upstream)]
    note = ""
    if Nginx.executable() is None:
        note = "nginx is left out: it is not installed (Debian: nginx-light)"
    else:
        able.append(Nginx(folder, upstream))
    return [*able, *([Direct(upstream)] if direct else [])], note


def names(present: Sequence[Contestant]) -> list[str]:
    """For reports."""
    return [one.name for one in present]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
