"""Caching servers that know nothing of packages: nginx, Squid and Varnish, tuned alike.

Each keeps what upstream lets it keep, listens on 127.0.0.1, runs on the servers' core with one
worker, writes no log of requests, and is ended by its own process id. One that is not installed
is left out by `able`, which says how to get it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from benchmarks.measure import SERVER_CORE, pinned
from benchmarks.upstream import Upstream
from tests.lab.server import free_port

STARTS_WITHIN = 60.0  # seconds; an interpreter and a database take their time
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin"


class Peer(ABC):
    """A server process with a folder and a port of its own.

    Subclasses give `name`, `command` and, where paths are not upstream's, `path`.
    """

    name = ""
    workers = 1  # processes that serve
    package = ""  # Debian's
    program = ""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.port = free_port()
        self._upstream = upstream.port
        self._folder = folder / self.name
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def executable(cls) -> str | None:
        """Where the program is; None where it is not installed."""
        return shutil.which(cls.program, path=SEARCHED)

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot take part; None where it can."""
        if cls.executable() is None:
            return f"{cls.name} is left out: it is not installed (Debian: {cls.package})"
        return None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def path(self, upstream_path: str) -> str:
        """Where it serves what upstream has at *upstream_path*."""
        return upstream_path

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Write the configuration; what to run in the foreground."""

    def environment(self) -> dict[str, str]:
        """Variables besides those of this process."""
        return {}

    def ready(self) -> None:  # noqa: B027 - most have nothing left to do
        """What is left to do when it listens."""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = pinned(self.command(), SERVER_CORE)
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**os.environ, **self.environment()},
            )
        self._wait(lambda: _listens(self.port))
        self.ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, is_ready: Callable[[], bool]) -> None:
        assert self._process is not None
        deadline = time.monotonic() + STARTS_WITHIN
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                said = (self._folder / "output").read_text(errors="replace")
                raise RuntimeError(f"{self.name} does not serve:\n{said[-2000:]}")
            time.sleep(0.02)


class Nginx(Peer):
    """nginx as a caching reverse proxy, tuned as its documentation advises for large files."""

    name = "nginx"
    package = "nginx-light"
    program = "nginx"

    def __init__(self, folder: Path, upstream: Upstream, *, workers: int = 1) -> None:
        super().__init__(folder / f"by-{workers}", upstream)
        if workers > 1:
            self.name = f"nginx, {workers} workers"
        self.workers = workers

    def command(self) -> Sequence[str]:
        config = self._folder / "nginx.conf"
        config.write_text(self._text())
        return [str(self.executable()), "-p", str(self._folder), "-c", str(config)]

    def _text(self) -> str:
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {self._folder}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""{user}
daemon off; worker_processes {self.workers};
pid {self._folder}/pid; error_log {self._folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  {temporary}
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  proxy_cache_path {self._folder}/cache levels=1:2 keys_zone=bench:50m max_size=20g
    inactive=1d use_temp_path=off;
  upstream source {{ server 127.0.0.1:{self._upstream}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=1024{" reuseport" if self.workers > 1 else ""};
    location / {{
      proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache bench; proxy_cache_key $uri$http_accept; proxy_cache_lock on;
      proxy_cache_lock_age 600s; proxy_cache_lock_timeout 600s; proxy_cache_revalidate on;
      proxy_cache_valid 200 1h;
    }}
  }}
}}
"""


class Squid(Peer):
    """Squid as an accelerator with a cache on disk."""

    name = "squid"
    package = "squid"
    program = "squid"

    def command(self) -> Sequence[str]:
        config = self._folder / "squid.conf"
        config.write_text(
            f"""http_port 127.0.0.1:{self.port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {self._upstream} 0 no-query no-digest originserver name=source
acl everybody src all
http_access allow everybody
cache_dir ufs {self._folder}/cache 20000 16 16
cache_mem 256 MB
maximum_object_size 2 GB
access_log none
cache_log {self._folder}/cache.log
cache_store_log none
netdb_filename none
pid_filename {self._folder}/pid
coredump_dir {self._folder}
shutdown_lifetime 0 seconds
pinger_enable off
"""
        )
        _given_away(self._folder, "proxy")
        program = str(self.executable())
        made = subprocess.run(
            [program, "-z", "-N", "-f", str(config)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise RuntimeError(f"squid cannot make its folders: {made.stderr[-2000:]}")
        return [program, "-N", "-f", str(config)]


class Varnish(Peer):
    """Varnish with its cache in memory."""

    name = "varnish"
    package = "varnish"
    program = "varnishd"

    def command(self) -> Sequence[str]:
        return [
            str(self.executable()),
            "-F",
            *("-a", f"127.0.0.1:{self.port}"),
            *("-b", f"127.0.0.1:{self._upstream}"),
            *("-n", str(self._folder / "work")),
            *("-s", "malloc,1g"),
            *("-p", "default_grace=10", "-p", "thread_pools=1"),
        ]


def able(kinds: Sequence[type[Peer]]) -> tuple[list[type[Peer]], list[str]]:
    """Those that can take part, and why the others cannot."""
    reasons = {kind: kind.missing() for kind in kinds}
    present = [kind for kind, reason in reasons.items() if reason is None]
    return present, [reason for reason in reasons.values() if reason is not None]


def _given_away(folder: Path, user: str) -> None:
    """Let *user* write into *folder*, and reach it: some servers give up being root."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(KeyError):  # no such user: then the server remains what it is
        known = pwd.getpwnam(user)
        os.chown(folder, known.pw_uid, known.pw_gid)
    for one in (folder, *folder.parents):
        if not one.stat().st_mode & 0o001 and one.stat().st_uid == 0:
            one.chmod(one.stat().st_mode | 0o011)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
