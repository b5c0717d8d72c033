"""The floor under every server of packages: what this proxy answered, as files that nginx serves.

What a client takes from that is the time that it needs itself. The paths are those that the proxy's
log says clients asked for; pages are kept packed, as they were sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import zstandard

from benchmarks.peers import Nginx
from tests.lab.server import ProxyServer, free_port

PAGE = "application/vnd.pypi.simple.v1+json"
_ASKED = re.compile(r" request method=GET path=(/(?:pypi|conda)/\S+) status=200 ")


class Floor(Nginx):
    """nginx with nothing behind it."""

    name = "floor (nginx, static files)"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder / "floor"
        self._tree = folder / "floor-tree"
        self._process = None

    def copy(self, proxy: ProxyServer) -> int:
        """Keep what *proxy* has answered so far; how many files that is."""
        paths = sorted(set(_ASKED.findall(proxy.log)))
        connection = HTTPConnection("127.0.0.1", proxy.port)
        for path in paths:
            is_page = path.endswith("/")
            accept = {"Accept": PAGE} if is_page else {}
            connection.request("GET", path, headers={**accept, "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != HTTPStatus.OK:
                raise RuntimeError(f"{path}: {answer.status}")
            file = self._tree / (path.strip("/") + ("/page" if is_page else ""))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(zstandard.compress(body, 10) if is_page else body)
        connection.close()
        for one in (self._tree, *self._tree.rglob("*")):
            one.chmod(0o755)
        return len(paths)

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
daemon off; worker_processes 1; pid {self._folder}/pid; error_log {self._folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  {temporary}
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{self.port} backlog=1024;
    root {self._tree};
    add_header Cache-Control max-age=600;
    location ~ ^/pypi/[^/]+/simple/ {{
      index page;
      default_type {PAGE};
      add_header Cache-Control max-age=600;
      add_header Content-Encoding zstd;
    }}
  }}
}}
"""
