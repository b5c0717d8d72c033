"""Settings of where clients come in that make sense only together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.kinds import Kind, listed

_ADVICE = 'write a list of addresses or networks, such as ["10.0.0.5", "192.168.0.0/16"], or "unix"'


def unsuitable(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of the checked *values* of [server] does not go together: the key and what to do."""
    yield from half_pairs(values)
    if "unix" in (values["trusted_proxies"] or ()) and values["socket"] is None:
        yield "trusted_proxies", '"unix" stands for clients of server.socket, which is not set'


def half_pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A certificate without its key among *values*, or the other way round."""
    certificate, key = values["tls_certificate"], values["tls_key"]
    if certificate is not None and key is None:
        yield "tls_certificate", "a certificate needs its key: write its file as tls_key"
    if key is not None and certificate is None:
        yield "tls_key", "a key needs its certificate: write its file as tls_certificate"


def _networks(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(_ADVICE)  # noqa: TRY004 - readers of settings raise ValueError alone
    return tuple(_network(one) for one in value)


def _network(value: Any) -> str:
    if value == "unix":
        return "unix"
    try:
        return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise ValueError(f"{str(value)[:60]!r} is none: {_ADVICE}") from error


NETWORKS = Kind("list of networks", _networks, parse=listed, show=list)
