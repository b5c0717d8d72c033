"""Where the administration listens and what it asks for, checked so that it is never open by
accident: on an address that other machines can reach it needs a token.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.credentials import Bearer, Credential
from proxy.config.kinds import HOST, Kind
from proxy.config.listening import half_pairs

SHORTEST = 16
"""Characters of a token: fewer can be guessed over a network."""

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_ADDRESS = re.compile(r"(?:\[([^\]]+)\]|([^\[\]:]+)):(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reached_at(self) -> str:
        """Where programs of this machine reach it."""
        if self.host in _ANY:
            return f"127.0.0.1:{self.port}"
        return str(self)

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """Where the administration is to be had; with neither `listen` nor `socket`: nowhere.

    `token` None: whoever can connect may do everything. With a certificate `listen` speaks TLS.
    """

    listen: Address | None = None
    socket: Path | None = None
    token: str | None = field(default=None, repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def has_doors(self) -> bool:
        """Whether it is to be had at all."""
        return self.listen is not None or self.socket is not None

    @property
    def scheme(self) -> str:
        """What `listen` speaks."""
        return "http" if self.tls_certificate is None else "https"

    @property
    def shown(self) -> str | None:
        """Where it is, for people; None: nowhere."""
        if self.listen is not None:
            return f"{self.scheme}://{self.listen.reached_at}/"
        return None if self.socket is None else f"unix:{self.socket}"


def admin_of(values: Mapping[str, Any], credentials: Mapping[str, Credential]) -> AdminSettings:
    """The settings of checked *values*."""
    credential = credentials.get(values["credentials"] or "")
    token = credential.token if isinstance(credential, Bearer) else None
    return AdminSettings(
        listen=values["listen"],
        socket=values["socket"],
        token=token,
        tls_certificate=values["tls_certificate"],
        tls_key=values["tls_key"],
    )


def open_doors(
    values: Mapping[str, Any], credentials: Mapping[str, Credential]
) -> Iterator[tuple[str, str]]:
    """What would leave the administration open, or never work: the key and what to write."""
    yield from half_pairs(values)
    name, listen = values["credentials"], values["listen"]
    if values["tls_certificate"] is not None and listen is None:
        yield "tls_certificate", "it is for admin.listen, which is not set: write an address there"
    credential = credentials.get(name or "")
    if name is not None and not isinstance(credential, Bearer):
        yield "credentials", f'write a [credentials.{name}] table of kind "bearer"'
    elif isinstance(credential, Bearer) and len(credential.token) < SHORTEST:
        yield "credentials", f"the token is too short; make it {SHORTEST} characters or longer"
    if name is None and listen is not None and not listen.is_loopback:
        remedy = 'name a [credentials.<name>] table of kind "bearer" in admin.credentials'
        problem = f"{listen} can be reached from other machines"
        yield "listen", f"{problem}: {remedy}, or listen on 127.0.0.1"


def _address(value: Any) -> Address:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 <= int(found[3]) <= 65535:
        raise ValueError('write an address and a port, such as "127.0.0.1:8081" or "[::1]:8081"')
    return Address(host=HOST.read(found[1] or found[2]), port=int(found[3]))


ADDRESS = Kind("address and port", _address, show=str)
