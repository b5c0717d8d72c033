"""The file that rattler and pixi keep credentials in (RATTLER_AUTH_FILE), read as they read it.

A JSON object from host or `*.domain` to one of several kinds of credential. The file is read
again whenever it changes; OAuth tokens that were refreshed are written back, everything else in
it as it was.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.credentials import Basic, Bearer, Credential, PathToken
from proxy.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """A bearer token that expires; `expires_at` is in seconds since the epoch."""

    host: str  # its key in the file
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: float | None
    token_endpoint: str
    client_id: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Understood, but of no use over HTTP (S3)."""

    kind: str


FileCredential = Credential | OAuth | Unsupported


class AuthFile:
    """One such file, which may be absent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._entries: dict[str, FileCredential] = {}

    def __repr__(self) -> str:
        return f"<AuthFile {self._path} {sorted(self._entries)}>"

    def check(self) -> None:
        """Read it now. Raises ConfigError."""
        self._reload()

    def find(self, host: str) -> FileCredential | None:
        """The credential for *host*: its own, else the longest wildcard. Raises ConfigError."""
        self._reload()
        for key in _keys(host):
            if key in self._entries:
                return self._entries[key]
        return None

    def entry(self, key: str) -> FileCredential | None:
        """What the file has under this very key. Raises ConfigError."""
        self._reload()
        return self._entries.get(key)

    def store(self, renewed: OAuth) -> None:
        """Write refreshed tokens back, leaving everything else as it is. Raises ConfigError."""
        try:
            content = json.loads(self._path.read_bytes())
            fields = content[renewed.host]["OAuth"]
            fields["access_token"] = renewed.access_token
            fields["refresh_token"] = renewed.refresh_token
            ends = renewed.expires_at
            fields["expires_at"] = None if ends is None else int(ends)
            _replace(self._path, json.dumps(content, indent=2).encode())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._path} cannot take the refreshed token: {error}") from error

    def _reload(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._entries = None, {}
            return
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        seen = (found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return
        try:
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self._path} is not readable JSON") from error
        if not isinstance(content, dict):
            raise ConfigError(f"{self._path} must hold an object from hosts to credentials")
        self._entries = {
            str(host): _parsed(f"{self._path}, {host}", str(host), value)
            for host, value in content.items()
        }
        self._seen = seen


def _keys(host: str) -> Iterator[str]:
    """Exact, then `*.` with the whole name, its parent, … down to the top level."""
    yield host
    labels = host.split(".")
    if labels[-1].isdigit() or ":" in host:
        return  # an IP address has no parents
    for number in range(len(labels)):
        yield "*." + ".".join(labels[number:])


def _parsed(where: str, host: str, value: Any) -> FileCredential:
    kinds = "BearerToken, BasicHTTP, CondaToken, OAuth or S3Credentials"
    if not isinstance(value, dict) or len(value) != 1:
        raise ConfigError(f"{where}: one of {kinds} is expected")
    ((kind, content),) = value.items()
    try:
        match kind:
            case "BearerToken":
                return Bearer(token=_text(content))
            case "CondaToken":
                return PathToken(token=_text(content))
            case "BasicHTTP":
                return Basic(
                    username=_text(content["username"]), password=_text(content["password"])
                )
            case "OAuth":
                return _oauth(host, content)
            case "S3Credentials":
                return Unsupported(kind)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {kind} lacks or misspells a field") from error
    raise ConfigError(f"{where}: {kind!r} is none of {kinds}")


def _oauth(host: str, content: Any) -> OAuth:
    if not isinstance(content, dict):
        raise TypeError("not an object")
    expires = content.get("expires_at")
    refresh = content.get("refresh_token")
    return OAuth(
        host=host,
        access_token=_text(content["access_token"]),
        refresh_token=None if refresh is None else _text(refresh),
        expires_at=None if expires is None else _moment(expires),
        token_endpoint=_text(content["token_endpoint"]),
        client_id=_text(content["client_id"]),
    )


def _moment(value: Any) -> float:
    moment = float(value)
    if not math.isfinite(moment):
        raise ValueError("no moment in time")
    return moment


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
