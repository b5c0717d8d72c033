"""Tokens that are made or revoked by command hold, or hold no more, within a second."""

from __future__ import annotations

import asyncio

from proxy.errors import ProxyError
from proxy.observe.log import Level, Log
from proxy.storage.token_file import TokenFile
from proxy.web.access import Access

INTERVAL = 1.0
"""Seconds between two looks at the file: one system call each."""


class TokenWatch:
    """Gives *access* the tokens in *file* whenever they change."""

    def __init__(self, file: TokenFile, access: Access, log: Log) -> None:
        self._file = file
        self._access = access
        self._log = log
        self._wrong = ""

    def read(self) -> None:
        """Raises StorageError and ConfigError, and changes nothing then."""
        tokens = self._file.read()
        if tokens is not self._access.tokens:
            self._access.tokens = tokens
            self._log.event("tokens", level=Level.DEBUG, count=len(tokens))

    async def run(self) -> None:
        """Until cancelled. A file that makes no sense is told once; the tokens before it hold."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self.read()
            except ProxyError as error:
                if str(error) != self._wrong:
                    self._log.event("tokens_unreadable", level=Level.ERROR, error=error)
                self._wrong = str(error)
            else:
                self._wrong = ""
