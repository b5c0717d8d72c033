"""How often an address may fail before what it shows is no longer looked at.

Each address has a budget of failures that refills evenly. One that has used it up is refused
unread, but for what was accepted from there before: many clients share the address of a gateway,
and one of them with an old token must not lock the others out. Memory is bounded: the addresses
and acceptances that were not met for longest are forgotten.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

REMEMBERED = 10_000
"""Addresses, and acceptances, that are remembered: a few megabytes."""


@dataclass(slots=True)
class _Budget:
    left: float
    at: float  # when `left` was right


class Attempts:
    """Failures by address; times are seconds of any steady clock."""

    def __init__(self, limit: int, *, window: float = 60.0, remembered: int = REMEMBERED) -> None:
        """*limit* failures are allowed in *window* seconds."""
        self.limit = limit
        self._window = window
        self._remembered = remembered
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self._accepted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Attempts {len(self._budgets)} addresses, {len(self._accepted)} accepted>"

    def wait(self, address: str, shown: str, now: float) -> float:
        """Seconds before *address* may show *shown* (its hash); 0: at once."""
        budget = self._budgets.get(_group(address))
        if budget is None or (_group(address), shown) in self._accepted:
            return 0.0
        missing = 1.0 - self._left(budget, now)
        return max(0.0, missing * self._window / self.limit)

    def failed(self, address: str, now: float) -> None:
        """What *address* showed was nothing."""
        group = _group(address)
        budget = self._budgets.setdefault(group, _Budget(float(self.limit), now))
        budget.left, budget.at = max(0.0, self._left(budget, now) - 1.0), now
        self._budgets.move_to_end(group)
        while len(self._budgets) > self._remembered:
            self._budgets.popitem(last=False)

    def succeeded(self, address: str, shown: str) -> None:
        """What *address* showed was accepted."""
        key = (_group(address), shown)
        self._accepted[key] = None
        self._accepted.move_to_end(key)
        while len(self._accepted) > self._remembered:
            self._accepted.popitem(last=False)

    def _left(self, budget: _Budget, now: float) -> float:
        refilled = max(0.0, now - budget.at) * self.limit / self._window
        return min(float(self.limit), budget.left + refilled)


def _group(address: str) -> str:
    """An IPv4 address, or the /64 network that one IPv6 client has for itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
