"""The certificates and keys of the server's doors, read again when their files change.

Connections that are open keep what they began with; a pair that does not fit changes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

from proxy.app.beside import beside
from proxy.config.admin import AdminSettings
from proxy.config.settings import Server
from proxy.errors import ConfigError
from proxy.observe.log import Level, Log

INTERVAL = 10.0
"""Seconds between two looks at the files."""

Signature = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate with its chain, and its key. `context` is given to the listening sockets."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises ConfigError where the two cannot be read or do not fit."""
        self._files = (certificate, key)
        self._wrong = ""
        self._seen = self._signature()
        self.context = self._made()

    async def run(self, log: Log) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look(log)

    def look(self, log: Log) -> None:
        """Take over what has changed, and say so; what cannot be used is told once."""
        try:
            signature = self._signature()
            if signature == self._seen:
                return
            self._seen = signature
            self._made()  # a pair that does not fit must not be half taken over
            self.context.load_cert_chain(*self._files, password=_none)
        except ConfigError as error:
            if str(error) != self._wrong:
                log.event("certificate_unusable", level=Level.ERROR, error=error)
            self._wrong = str(error)
        else:
            self._wrong = ""
            log.event("certificate_taken_over")

    def _signature(self) -> Signature:
        try:
            found = [path.stat() for path in self._files]
        except OSError as error:
            raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        certificate, key = self._files
        try:
            context.load_cert_chain(certificate, key, password=_none)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            what = getattr(error, "reason", None) or error
            raise ConfigError(
                f"{certificate} and {key} are no certificate in PEM form with its key "
                f"(without a password): {what}"
            ) from error
        return context


class Certificates:
    """Those of all doors."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._used: list[Certificate] = []

    def context(self, stack: AsyncExitStack, door: Server | AdminSettings) -> ssl.SSLContext | None:
        """What *door* speaks TLS with, watched until *stack* is taken down; None: it does not.

        Raises ConfigError where certificate and key do not fit.
        """
        if door.tls_certificate is None or door.tls_key is None:
            return None
        certificate = Certificate(door.tls_certificate, door.tls_key)
        self._used.append(certificate)
        beside(stack, certificate.run(self._log))
        return certificate.context

    def look(self) -> None:
        """See at once whether any has changed."""
        for certificate in self._used:
            certificate.look(self._log)


def _none() -> str:
    """The password of a key: there is nobody to ask for one."""
    return ""
