"""No open relay: which hosts may be contacted on behalf of a mirror.

The mirror's own source and the hosts that its operator allows are always contacted. Any other
host is one that an index or a redirect named: it must be spoken to over https (or the source's
own scheme) on its standard port, and every address that its name resolves to must be public.
The addresses checked are those connected to, because the check sits in the resolver.
"""

from __future__ import annotations

import ipaddress
import re
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
        "::/96",
        "fe80::/10",
        "fec0::/10",
        "fc00::/7",
        "ff00::/8",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
    )
)
"""Addresses that only the operator may name. Documentation ranges are not among them: they lead
nowhere, and test networks use them."""

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def trusted(url: str, mirror: Mirror) -> bool:
    """Whether *url*'s host is the source's own or allowed by name (`host` or `host:port`)."""
    parts = urlsplit(url)
    if parts.hostname == urlsplit(mirror.source).hostname:
        return True
    return bool({parts.hostname, f"{parts.hostname}:{_port(parts)}"} & mirror.allow_hosts)


def own(url: str, mirror: Mirror) -> bool:
    """Whether *url* is on the server of the source itself, so that its secrets may go there.

    The standard ports count as one, so that http may become https; never the other way round.
    """
    source = urlsplit(mirror.source)
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.hostname != source.hostname or _downgraded(parts, mirror):
        return False
    ports = {_port(parts), _port(source)}
    return len(ports) == 1 or ports == {80, 443}


def confidential(url: str, mirror: Mirror) -> bool:
    """Whether any secret may go to *url*: not in the clear where the source is https."""
    return not _downgraded(urlsplit(url), mirror)


def _downgraded(parts: SplitResult, mirror: Mirror) -> bool:
    return parts.scheme != "https" and urlsplit(mirror.source).scheme == "https"


def check(url: str, mirror: Mirror) -> None:
    """Raise UpstreamForbidden where *url* must not be contacted, whatever it resolves to."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UpstreamForbidden(f"{redacted(url)} is not an address") from error
    _port(parts)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UpstreamForbidden(f"{redacted(url)} is not an http(s) address")
    if trusted(url, mirror):
        return
    hint = f"; add it to allow_hosts of mirror {mirror.key} if it is meant"
    if parts.scheme not in ("https", urlsplit(mirror.source).scheme):
        raise UpstreamForbidden(f"{redacted(url)} is not https{hint}")
    if _port(parts) not in (80, 443):
        raise UpstreamForbidden(f"{redacted(url)} has an unusual port{hint}")
    _check_host(parts.hostname, url, hint)


def _check_host(host: str, url: str, hint: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name: the resolver looks at its addresses. But 127.1, 0x7f000001 or 2130706433 are
        # addresses to some system libraries, as a name that IDNA would change may be one.
        last = host.rstrip(".").rpartition(".")[2]
        if not _NAME.fullmatch(host) or _NUMBER.fullmatch(last):
            raise UpstreamForbidden(f"{redacted(url)} has an unusual host name{hint}") from None
        return
    if not _public(address):
        raise UpstreamForbidden(f"{redacted(url)} is not a public address{hint}")


class GuardedResolver(AbstractResolver):
    """Resolves the names of strangers, which must lead to public addresses."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """Raises UpstreamForbidden where one of the addresses is not public."""
        found = await self._inner.resolve(host, port, family)
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
