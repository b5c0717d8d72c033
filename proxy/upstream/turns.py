"""Who came first is sent first: requests to one host take turns at its connections.

aiohttp gives a connection that has become free to whoever asks for one at that moment. Under a load
of short requests those who wait for one then wait until the load is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Host:
    free: asyncio.Semaphore  # in the order in which they ask
    users: int = 0  # who wait, and who have a turn


class Turns:
    """At each host *each* requests have a turn at a time."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._hosts: dict[str, _Host] = {}

    def __len__(self) -> int:
        """At how many hosts somebody waits or has a turn."""
        return len(self._hosts)

    async def take(self, host: str) -> Callable[[], None]:
        """Wait for a turn at *host*; what is returned gives it back, when it is first called."""
        one = self._hosts.setdefault(host, _Host(asyncio.Semaphore(self._each)))
        one.users += 1
        try:
            await one.free.acquire()
        except BaseException:
            self._left(host, one)
            raise
        is_taken = True

        def give_back() -> None:
            nonlocal is_taken
            if is_taken:
                is_taken = False
                one.free.release()
                self._left(host, one)

        return give_back

    def _left(self, host: str, one: _Host) -> None:
        one.users -= 1
        if not one.users:
            del self._hosts[host]
