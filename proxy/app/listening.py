"""The sockets that clients come in by, claimed before anything else is done.

From systemd where it passes some (`sd_listen_fds(3)`), else a Unix socket, else an address and a
port. Workers share what was passed or is a Unix socket; on a port each binds one of its own, so
that the kernel spreads connections and no worker wakes in vain.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.app.supervisor import bind
from proxy.config.settings import Server
from proxy.errors import ConfigError

FIRST = 3
"""The first descriptor that systemd passes."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server listens on.

    `is_port`: it is a port, which each worker binds again. `path`: the Unix socket that was made.
    """

    sockets: Sequence[socket.socket]
    is_port: bool = False
    path: Path | None = None

    def of_worker(self) -> Sequence[socket.socket]:
        """What a worker listens on, in its process. Raises OSError."""
        if not self.is_port:
            return self.sockets
        host, port = self.sockets[0].getsockname()[:2]
        return [bind(host, port, shared=True)]

    def divide(self) -> None:
        """Let several workers bind the port; until then another server could not share it."""
        if self.is_port:
            self.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def close(self) -> None:
        """Give everything back."""
        for one in self.sockets:
            one.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def claim(server: Server, environ: Mapping[str, str]) -> Claim:
    """Claim what *server* is to listen on. Raises ConfigError and OSError."""
    passed = _passed(environ)
    if passed:
        return Claim(passed)
    if server.socket is not None:
        return Claim([unix(server.socket, "server.socket")], path=server.socket)
    try:
        # Not shared while it is claimed: two servers must not divide one port between them.
        return Claim([bind(server.host, server.port, shared=False)], is_port=True)
    except OSError as error:
        raise OSError(error.errno, _cannot_listen(server, error)) from error


def unix(path: Path, key: str) -> socket.socket:
    """A socket at *path*, the setting *key*, for this user and group, in place of a dead one.

    Raises ConfigError.
    """
    _clear(path, key)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise ConfigError(f"{key}: {path} cannot be made: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return made


def addresses(sockets: Sequence[socket.socket], scheme: str) -> list[str]:
    """Where clients find *sockets*: URLs, and paths of Unix sockets."""
    found = []
    for one in sockets:
        name = one.getsockname()
        if one.family == socket.AF_UNIX:
            found.append(f"unix:{name}")
        else:
            host, port = name[:2]
            found.append(
                f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
            )
    return found


def _passed(environ: Mapping[str, str]) -> list[socket.socket]:
    """What systemd opened for this very process; nothing where it opened it for another one."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "0")
    if not count.isdigit():
        raise ConfigError(f"LISTEN_FDS: {count[:20]!r} is not a number of sockets")
    found = []
    for descriptor in range(FIRST, FIRST + int(count)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - it has no other name
        one = socket.socket(fileno=descriptor)
        if one.type != socket.SOCK_STREAM:
            raise ConfigError(f"the socket unit passes {one}: write ListenStream=")
        found.append(one)
    return found


def _clear(path: Path, key: str) -> None:
    """Take away a socket that nobody listens on. Raises ConfigError where it is anything else."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{key}: {path} is there already, and is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(f"{key}: another server listens on {path}")
        path.unlink()


def _cannot_listen(server: Server, error: OSError) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    message = f"cannot listen on {host}:{server.port}: {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        message += "; stop what listens there, or choose another port with --port"
    return message
