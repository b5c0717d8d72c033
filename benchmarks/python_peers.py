"""Package proxies from the Python index: devpi-server, proxpi and quetz.

Each lives in an environment of its own below `build/peers`, made when it is first needed; where
that fails it is left out with the reason. All are set up as their documentation says.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from benchmarks.measure import REPOSITORY
from benchmarks.peers import Peer

_ENVIRONMENTS = REPOSITORY / "build" / "peers"
_LINK = re.compile(r'href="([^"#]+)')


class PythonPeer(Peer):
    """A peer that pip installs; `needs` are its requirements."""

    needs: tuple[str, ...] = ()

    @classmethod
    def executable(cls) -> str | None:
        path = _ENVIRONMENTS / cls.name / "bin" / cls.program
        return str(path) if path.exists() else None

    @classmethod
    def missing(cls) -> str | None:
        if cls.executable() is not None:
            return None
        folder = _ENVIRONMENTS / cls.name
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *cls.needs],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{cls.name} is left out: {(done.stderr or done.stdout).strip()[-200:]}"
        return None


class Devpi(PythonPeer):
    """devpi-server with one mirror index."""

    name = "devpi"
    program = "devpi-server"
    needs = ("devpi-server",)

    def command(self) -> Sequence[str]:
        program = Path(str(self.executable()))
        subprocess.run(
            [str(program.with_name("devpi-init")), "--serverdir", "data", "--no-root-pypi"],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        port = str(self.port)
        return [str(program), "--serverdir", "data", "--host", "127.0.0.1", "--port", port]

    def ready(self) -> None:
        login = {"user": "root", "password": ""}
        token = _asked(self.port, "POST", "/+login", login)["result"]["password"]
        source = f"http://127.0.0.1:{self._upstream}/index/simple/"
        index = {"type": "mirror", "mirror_url": source}
        secret = base64.b64encode(f"root:{token}".encode()).decode()
        _asked(self.port, "PUT", "/root/bench", index, {"X-Devpi-Auth": secret})

    def path(self, upstream_path: str) -> str:
        if upstream_path.startswith("/index/simple/"):
            return upstream_path.replace("/index/simple/", "/root/bench/+simple/")
        return linked(self.port, "/root/bench/+simple/", upstream_path)


class Proxpi(PythonPeer):
    """proxpi under gunicorn, with one worker as its cache wants."""

    name = "proxpi"
    program = "gunicorn"
    needs = ("proxpi", "gunicorn")

    def command(self) -> Sequence[str]:
        where = f"127.0.0.1:{self.port}"
        return [str(self.executable()), "--bind", where, "--threads", "4", "proxpi.server:app"]

    def environment(self) -> dict[str, str]:
        return {
            "PROXPI_INDEX_URL": f"http://127.0.0.1:{self._upstream}/index/simple/",
            "PROXPI_CACHE_DIR": str(self._folder / "files"),
            "HOME": str(self._folder),
        }

    def path(self, upstream_path: str) -> str:
        if upstream_path.startswith("/index/simple/"):
            return upstream_path.replace("/index/simple/", "/index/")
        return linked(self.port, "/index/", upstream_path)


class Quetz(PythonPeer):
    """quetz with one proxy channel, which its web interface would make the same way."""

    name = "quetz"
    program = "quetz"
    needs = ("quetz-server", "fastapi<0.111", "sqlalchemy<2.1")

    def command(self) -> Sequence[str]:
        program = str(self.executable())
        subprocess.run(
            [program, "create", "data", "--create-conf"],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        columns = {
            "name": "bench",
            "description": "",
            "private": 0,
            "mirror_channel_url": f"http://127.0.0.1:{self._upstream}/channel",
            "mirror_mode": "proxy",
            "timestamp_mirror_sync": 0,
            "size": 0,
        }
        with sqlite3.connect(self._folder / "data" / "quetz.sqlite") as database:
            database.execute(
                f"insert into channels ({', '.join(columns)}) values ({', '.join('?' * 7)})",
                tuple(columns.values()),
            )
        database.close()
        arguments = ["--port", str(self.port), "--no-supervisor", "--log-level", "error"]
        return [program, "start", "data", *arguments]

    def path(self, upstream_path: str) -> str:
        return upstream_path.replace("/channel/", "/get/bench/")


def linked(port: int, index: str, upstream_path: str) -> str:
    """Where a server's own page says that a wheel (or its `.metadata`) is."""
    wheel, ending, _ = upstream_path.rpartition("/")[2].partition(".metadata")
    project = wheel.partition("-")[0].replace("_", "-")
    page = f"{index}{project}/"
    text = _get(port, page).decode()
    for link in _LINK.findall(text):
        if link.rpartition("/")[2] == wheel:
            return str(urljoin(page, link)) + ending
    raise RuntimeError(f"{page} has no link to {wheel}:\n{text[:2000]}")


def _get(port: int, path: str) -> bytes:
    return _sent(port, "GET", path, None, {"Accept": "text/html"})


def _asked(
    port: int, method: str, path: str, body: object, headers: dict[str, str] | None = None
) -> Any:
    sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    return json.loads(_sent(port, method, path, json.dumps(body).encode(), sent))


def _sent(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{method} {path} answered {response.status}: {text[:500]!r}")
    return text
