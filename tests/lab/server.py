"""The real proxy as a subprocess: configured, started on a free port, observed and stopped.

The cache folder outlives `stop`, so that a second `start` is a restart. Only processes that
this object started are ended, by their own id.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.lab.processes import resident
from tests.lab.secrets import PAGES

READY_WITHIN = 20.0  # seconds; a bound for slow machines, not a promise
STOPPED_WITHIN = 20.0  # seconds after SIGTERM, then SIGKILL
POLL = 0.01  # seconds between two looks at a server that starts

_COMMAND = (sys.executable, "-m", "proxy", "serve")
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorConfig:
    """One `[[mirror]]` table; `options` are its further keys."""

    type: str
    name: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_options(self, **more: Any) -> Self:
        """The same with *more* keys."""
        return replace(self, options={**self.options, **more})


class ProxyServer:
    """A proxy with a cache folder, a log and a port of its own, below *folder*."""

    def __init__(
        self,
        folder: Path,
        mirrors: Sequence[MirrorConfig],
        *,
        workers: int = 1,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        prefix: Sequence[str] = (),
        inherit_environment: bool = False,
    ) -> None:
        """*tables* adds keys to the configuration ("" is its top), *prefix* to the command."""
        self.folder = folder
        self.mirrors = list(mirrors)
        self.workers = workers
        self.tables = {} if tables is None else tables
        self.port = free_port()
        self.ready_within = READY_WITHIN
        self.started_in = 0.0  # seconds from exec to ready, of the last start
        self.token = ""  # sent when metrics are read
        self.stopped_with: int | None = None  # exit status of the last stop
        self._prefix = list(prefix)
        self._environment = dict(os.environ) if inherit_environment else clean_environment(folder)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<ProxyServer {self.url} pid={self._process and self._process.pid}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_file(self) -> Path:
        return self.folder / "pkgproxy.toml"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the proxy was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything printed so far, over all starts."""
        return (self.folder / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Write the configuration, start, and wait until ready. Raises AssertionError."""
        self.write_config()
        began = time.monotonic()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *_COMMAND, "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=_REPOSITORY,
                env=self._environment,
            )
        while not self._is_ready():
            alive = self._process.poll() is None
            in_time = time.monotonic() - began < self.ready_within
            if not (alive and in_time):
                self.stop()
                raise AssertionError(f"the proxy did not become ready:\n{self.log}")
            time.sleep(POLL)
        self.started_in = time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, wait, SIGKILL if need be. Nothing where it is stopped."""
        if self._process is not None:
            self._keep_pages()
            self._process.terminate()
            self.wait()

    def wait(self) -> int:
        """Wait for the end, with SIGKILL after `STOPPED_WITHIN`; the exit status."""
        assert self._process is not None, "the proxy was not started"
        try:
            self.stopped_with = self._process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.stopped_with = self._process.wait()
        self._process = None
        return self.stopped_with

    def restart(self) -> None:
        """Stop and start on the same cache and port."""
        self.stop()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def rss(self) -> int:
        """Bytes resident in all of the proxy's processes."""
        return resident(self.pid)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples called *name* that carry *labels*."""
        families = text_string_to_metric_families(self._get("/metrics")[1].decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def write_config(self) -> None:
        """Write the configuration from `mirrors`, `workers` and `tables`."""
        tables: dict[str, dict[str, Any]] = {
            "server": {"host": "127.0.0.1", "port": self.port, "workers": self.workers},
            "cache": {"path": str(self.folder / "cache")},
        }
        for name, keys in self.tables.items():
            tables[name] = {**tables.get(name, {}), **keys}
        top = tables.pop("", {})
        parts = [_keys(top), *(f"[{name}]\n{_keys(keys)}" for name, keys in tables.items())]
        for mirror in self.mirrors:
            keys = {"type": mirror.type, "name": mirror.name, "source": mirror.source}
            parts.append(f"[[mirror]]\n{_keys({**keys, **mirror.options})}")
        self.config_file.write_text("\n".join(parts))

    def _keep_pages(self) -> None:
        """For the look for secrets at the end of the run."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            (self.folder / PAGES).open("ab") as file,
        ):
            for path in ("/", "/metrics", "/upstreams"):
                file.write(self._get(path)[1])

    def _is_ready(self) -> bool:
        """Whether a worker serves, and the administration, which may be another worker's."""
        _, _, port = str(self.tables.get("admin", {}).get("listen", "")).rpartition(":")
        try:
            if port:
                socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
            return self._get("/readyz")[0] == http.client.OK
        except OSError:
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            headers = {"X-API-Key": self.token} if self.token else {}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def eventually(condition: Callable[[], bool], what: str, *, within: float = READY_WITHIN) -> None:
    """Poll until *condition* holds. Raises AssertionError naming *what* after *within* seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        time.sleep(POLL)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path) -> dict[str, str]:
    """An environment that nothing of this machine's configuration leaks into."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**keep, "HOME": str(home), "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(home)}


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: Any) -> str:
    """A value as TOML; JSON's strings, numbers and arrays are TOML's."""
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{key} = {_toml(it)}" for key, it in value.items()) + " }"
        case _:
            return json.dumps(value)
