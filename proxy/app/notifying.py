"""What systemd is told of a service's life (`sd_notify(3)`): ready, alive, reloading, stopping.

Where the service manager does not listen (no NOTIFY_SOCKET) nothing is told, and nothing fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping


class Manager:
    """The service manager, as the environment describes it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        # Half of what it waits for, as sd_watchdog_enabled(3) advises.
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._interval = int(microseconds) / 2e6 if microseconds.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """Requests are answered; *status* is shown by `systemctl status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """No new requests are taken."""
        self._tell("STOPPING=1")

    async def run(self) -> None:
        """Say that the event loop turns, for as long as it does; until cancelled."""
        while self._interval:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)

    def _tell(self, text: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        # "@" stands for the abstract name space of Linux.
        address = self._address.replace("@", "\0", 1)
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager,
        ):
            manager.sendto(text.encode(), address)
