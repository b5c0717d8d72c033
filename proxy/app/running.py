"""A server's start and end: one process, or a supervisor with several workers."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from proxy.app.listening import Claim, addresses, claim
from proxy.app.supervisor import Supervisor
from proxy.config import Settings
from proxy.errors import ConfigError, ProxyError

FAILED = 1
"""Exit status where serving failed."""

BAD_CONFIG = 2
"""Exit status where the configuration is wrong."""

STOP_MARGIN = 10.0
"""Seconds beyond the drain timeout after which a worker that still has not stopped is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a server is started with.

    `reload` reads the settings again (see `proxy.app.in_force.Reload`), `say` gets the address.
    """

    settings: Settings
    reload: Callable[[str | None], Settings]
    say: Callable[[str], None]


def run(start: Start) -> int:
    """Serve until told to stop; returns the exit status."""
    server = start.settings.server
    try:
        claimed = claim(server, os.environ)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"{error.strerror if isinstance(error, OSError) else error}\n")
        return BAD_CONFIG if isinstance(error, ConfigError) else FAILED
    if server.workers > 1:
        claimed.divide()
    try:
        meeting = Path(tempfile.mkdtemp(prefix="pkgproxy-"))
    except OSError as error:  # a container whose file system is only read
        claimed.close()
        sys.stderr.write(f"no temporary folder can be made: {error}; name one in TMPDIR\n")
        return FAILED
    try:
        if server.workers == 1:
            return _work(start, 0, claimed.sockets, meeting)
        return _supervised(start, claimed, meeting)
    finally:
        claimed.close()
        shutil.rmtree(meeting, ignore_errors=True)


def _supervised(start: Start, claimed: Claim, meeting: Path) -> int:
    # Read by prometheus-client when it is imported, which only the workers do.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(meeting)
    server = start.settings.server

    def work(number: int) -> int:
        return _work(start, number, claimed.of_worker(), meeting)

    def ended(process: int) -> None:
        """What prometheus-client's mark_process_dead does, without importing it here."""
        for path in meeting.glob(f"gauge_live*_{process}.db"):
            path.unlink(missing_ok=True)

    patience = server.drain_timeout + STOP_MARGIN
    return Supervisor(work, server.workers, patience=patience, ended=ended).run()


def _work(start: Start, number: int, listening: Sequence[socket.socket], meeting: Path) -> int:
    # A reload that comes too early waits; the worker unblocks it when it can carry it out.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # What a server is made of is no garbage: looking for some meanwhile takes a tenth of a start.
    gc.disable()
    # Imported here: it takes most of a start, and the supervisor does not need it.
    from proxy.app.worker import Place, Worker  # noqa: PLC0415

    server = start.settings.server

    def ready() -> None:
        # What is here now stays: looking through all of it for garbage takes 50 to 150 ms, in which
        # no client is answered.
        gc.freeze()
        gc.enable()
        if number == 0:
            start.say(addresses(listening, server.scheme)[0])

    place = Place(
        number=number, size=server.workers, listening=listening, meeting=meeting, ready=ready
    )
    try:
        uvloop.run(Worker(start.settings, place, start.reload).run())
    except (ProxyError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIG if isinstance(error, ConfigError) else FAILED
    return 0
