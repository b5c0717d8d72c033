"""No open relay: which hosts may be contacted on behalf of a mirror.

The mirror's own source and the hosts that its operator allows are always contacted. Any other
host is one that an index or a redirect named: it must be spoken to over https (or the source's
own scheme) on its standard port, and every address that its name resolves to must be public.
The addresses checked are those connected to, because the check sits in the resolver.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.core.model import Mirror
from proxy.core.urls import redacted
from proxy.errors import UpstreamForbidden

_INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        # This host, loopback, link-local (cloud metadata lives there), private, shared (RFC 6598)
        # and protocol assignments, multicast, reserved; then the same for IPv6, with NAT64, whose
        # prefix would lead to any of those.
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/127",
        "fe80::/10",
        "fc00::/7",
        "ff00::/8",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
    )
)
"""Addresses that only the operator may name. Documentation ranges are not among them: they lead
nowhere, and test networks use them."""


def trusted(url: str, mirror: Mirror) -> bool:
    """Whether *url*'s host is the source's own or allowed by name (`host` or `host:port`)."""
    parts = urlsplit(url)
    if parts.hostname == urlsplit(mirror.source).hostname:
        return True
    return bool({parts.hostname, f"{parts.hostname}:{_port(parts)}"} & mirror.allow_hosts)


def check(url: str, mirror: Mirror) -> None:
    """Raise UpstreamForbidden where *url* must not be contacted, whatever it resolves to."""
    parts = urlsplit(url)
    own = urlsplit(mirror.source)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UpstreamForbidden(f"{redacted(url)} is not an http(s) address")
    if trusted(url, mirror):
        return
    hint = f"; add it to allow_hosts of mirror {mirror.key} if it is meant"
    if parts.scheme not in ("https", own.scheme):
        raise UpstreamForbidden(f"{redacted(url)} is not https{hint}")
    if _port(parts) not in (80, 443):
        raise UpstreamForbidden(f"{redacted(url)} has an unusual port{hint}")
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return  # a name: the resolver looks at its addresses
    if not _public(address):
        raise UpstreamForbidden(f"{redacted(url)} is not a public address{hint}")


class GuardedResolver(AbstractResolver):
    """Resolves names, leaving out addresses that are not public unless the name is trusted."""

    def __init__(self, inner: AbstractResolver, trusted_hosts: set[str]) -> None:
        """*trusted_hosts* is read at each look-up: whoever owns it adds to it."""
        self._inner = inner
        self._trusted = trusted_hosts

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """Raises UpstreamForbidden where a name of a stranger has an address that is not public."""
        found = await self._inner.resolve(host, port, family)
        if host not in self._trusted:
            for one in found:
                if not _public(ipaddress.ip_address(one["host"].partition("%")[0])):
                    raise UpstreamForbidden(f"{host} resolves to {one['host']}, which is private")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None:
        return _public(mapped)
    return not any(network.version == address.version and address in network for network in _INSIDE)


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UpstreamForbidden(f"{parts.hostname} is given a port that is none") from error
