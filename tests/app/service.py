"""The real server as systemd starts it: sockets passed, readiness and life told to a socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.lab.server import clean_environment

PATIENCE = 30.0  # seconds; a bound for slow machines, not a promise
_REPOSITORY = Path(__file__).parents[2]

# What systemd does between fork and exec: the sockets from 3 on, and whom they are for.
_PASSING = """
import os, sys
count = int(sys.argv[1])
for number in range(count):
    os.dup2(int(sys.argv[2 + number]), 100 + number)
for number in range(count):
    os.dup2(100 + number, 3 + number)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(count), str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2 + count:]])
"""


class Service:
    """A server with `[server]` as given, and one mirror of an upstream that does not answer."""

    def __init__(
        self,
        folder: Path,
        server: Mapping[str, Any],
        *,
        sockets: tuple[socket.socket, ...] = (),
        source: str = "http://127.0.0.1:9/",
        watchdog: float = 0.0,
    ) -> None:
        self.folder = folder
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(folder / "notify"))
        self._notices.settimeout(PATIENCE)
        lines = [f"{key} = {json.dumps(value)}" for key, value in server.items()]
        self.config = folder / "pkgproxy.toml"
        self.config.write_text(
            "\n".join(["[server]", *lines, "[cache]", f'path = "{folder / "cache"}"'])
            + f'\n[[mirror]]\ntype = "files"\nname = "f"\nsource = "{source}"\n'
        )
        environment = {**clean_environment(folder), "NOTIFY_SOCKET": str(folder / "notify")}
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        command = ["-m", "proxy", "serve", "--config", str(self.config)]
        descriptors = [one.fileno() for one in sockets]
        if sockets:
            passing = [str(len(sockets)), *map(str, descriptors)]
            command = ["-c", _PASSING, *passing, *command]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=_REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._notices.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def told(self, what: str) -> str:
        """Wait until *what* is told, and return the whole notice. Raises TimeoutError."""
        while True:
            try:
                notice = self._notices.recv(4096).decode()
            except TimeoutError:
                raise TimeoutError(f"never told: {what}\n{self.log}") from None
            if what in notice:
                return notice

    def reload(self) -> None:
        """Send SIGHUP and wait until it is over."""
        os.kill(self.process.pid, signal.SIGHUP)
        self.told("RELOADING=1")
        self.told("READY=1")

    def stop(self) -> int:
        """Send SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)
