"""Proxies in front of this server that are believed when they say whom they speak for.

Only what comes from a configured address is believed; from anybody else the headers are ignored,
or else a client could take any address, also one that has not failed yet, and put any host into
our pages.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

UNIX = "unix"
"""What stands for whoever connects to the Unix socket."""

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Proxies:
    """The proxies with an address in one of the *networks*, or, by `unix`, on the socket."""

    def __init__(self, networks: Iterable[str]) -> None:
        """*networks* were checked: `10.0.0.0/8`, `::1`, `unix`."""
        given = list(networks)
        self._unix = UNIX in given
        self._networks = [ipaddress.ip_network(one) for one in given if one != UNIX]

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether *address* ("" on a Unix socket) is that of such a proxy."""
        if not address:
            return self._unix
        found = _parsed(address)
        return found is not None and any(found in network for network in self._networks)

    def client(self, address: str, forwarded: str) -> str:
        """Who sent what *address* passed on: the last one of *forwarded* that is no such proxy.

        *forwarded* is X-Forwarded-For: each hop has added the address that it was spoken to from.
        """
        hops = [hop.strip() for hop in forwarded.split(",")]
        while hops and self.trusts(address):
            parsed = _parsed(hops.pop())
            if parsed is None:
                break
            address = str(parsed)
        return address

    @property
    def middleware(self) -> Any:
        """Gives handlers the request as the client sent it."""

        @web.middleware
        async def believing(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await handler(self.believed(request))

        return believing

    def believed(self, request: web.Request) -> web.Request:
        """*request* with the address, scheme and host that a trusted proxy names."""
        address = request.remote or ""
        if not self.trusts(address):
            return request
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        scheme = _last(request, "X-Forwarded-Proto").lower()
        host = _last(request, "X-Forwarded-Host")
        return request.clone(
            remote=self.client(address, forwarded),
            scheme=scheme if scheme in ("http", "https") else request.scheme,
            host=host if _HOST.fullmatch(host) else request.host,
        )


def _last(request: web.Request, name: str) -> str:
    """What the proxy next to us says."""
    values = request.headers.getall(name, ("",))
    return str(values[-1]).rpartition(",")[2].strip()


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
