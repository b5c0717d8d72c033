"""Speaking to a running server's administration: one request, one answer, clear exit statuses.

The server is the one of `--url`, else of the variable PKGPROXY_ADMIN_URL, else of `[admin]` in the
configuration file, whose token is then used as well.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import json
import os
import socket
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import typer

from proxy.errors import ConfigError, ProxyError

URL = "PKGPROXY_ADMIN_URL"
TOKEN_FILE = "PKGPROXY_ADMIN_TOKEN_FILE"  # noqa: S105 - the name of a variable
"""The variables that stand in for options."""

PATIENCE = 300.0
"""Seconds that an answer may take: comparing policies reads whole indexes."""

_ROOT = "/api/v1"


class Exit(enum.IntEnum):
    """Exit statuses of the commands that speak to a server."""

    FAILED = 1  # the server failed, or the run did
    WRONG = 2  # what was asked is wrong
    AWAY = 3  # the server is not to be reached, or does not take the token
    MISSING = 4  # there is no such thing
    CONFLICT = 5  # it does not go with how things stand


_EXITS = {
    400: Exit.WRONG,
    401: Exit.AWAY,
    403: Exit.AWAY,
    404: Exit.MISSING,
    409: Exit.CONFLICT,
    422: Exit.WRONG,
}


class RemoteError(ProxyError):
    """The server refused, failed or is away."""

    def __init__(self, message: str, exit_status: Exit) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the administration is: `http://host:port`, `https://host:port` or `unix:/path`.

    `certificate`: the one that it shows, and no other; None: one that this machine trusts, for the
    host in the address.
    """

    url: str
    certificate: Path | None = None
    token: str | None = field(default=None, repr=False)


def door(url: str | None, token_file: Path | None, config: Path | None) -> Door:
    """The one that options, variables or the configuration name. Raises ConfigError."""
    token_file = token_file or (Path(os.environ[TOKEN_FILE]) if TOKEN_FILE in os.environ else None)
    url = url or os.environ.get(URL)
    token = None if token_file is None else token_in(token_file)
    if url is not None:
        return Door(url=url.rstrip("/"), token=token)
    from proxy.config import load  # noqa: PLC0415 - not needed where the address is given

    admin = load(config, os.environ).settings.admin
    if admin.socket is not None:
        return Door(url=f"unix:{admin.socket}", token=token or admin.token)
    if admin.listen is not None:
        return Door(
            url=f"{admin.scheme}://{admin.listen.reached_at}",
            token=token or admin.token,
            certificate=admin.tls_certificate,
        )
    raise ConfigError(
        f"where is the server's administration? give --url (or {URL}), or --config with a file "
        "whose [admin] has listen or socket"
    )


def token_in(path: Path) -> str:
    """The token that the file *path* holds. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {path}: cannot be read: {error}") from error


class Remote:
    """The API behind one door."""

    def __init__(self, where: Door) -> None:
        self._door = where

    def get(self, *path: str, **query: str | int | None) -> Any:
        """What is at *path* (its segments). Raises RemoteError."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._call("GET", path, query=given)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Raises RemoteError."""
        return self._call("POST", path, body=body)

    def put(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Raises RemoteError."""
        return self._call("PUT", path, body=body)

    def delete(self, *path: str) -> None:
        """Raises RemoteError."""
        self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        target = "/".join([_ROOT, *(quote(part, safe="") for part in path)])
        headers = {"Accept": "application/json"}
        if self._door.token is not None:
            headers["Authorization"] = f"Bearer {self._door.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._connected() as connection:
            connection.request(
                method,
                target + (f"?{urlencode(query)}" if query else ""),
                None if body is None else json.dumps(body),
                headers,
            )
            response = connection.getresponse()
            content = response.read()
        if response.status >= 400:
            _refused(response.status, content)
        return json.loads(content) if content else None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection. Raises RemoteError where there is none, or it breaks."""
        connection = _connection(self._door)
        try:
            yield connection
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"the server at {self._door.url} cannot be asked: {error}"
            raise RemoteError(message, Exit.AWAY) from error
        finally:
            connection.close()


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(where: Door) -> http.client.HTTPConnection:
    """Raises ConfigError where its URL is none, or its certificate cannot be read."""
    url = where.url
    if url.startswith("unix:"):
        return _Local(url.removeprefix("unix:"))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        raise ConfigError(f"{url!r}: write http://host:port, https://host:port or unix:/path")
    if parts.scheme == "https":
        trust = _trust(where.certificate)
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=PATIENCE, context=trust
        )
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)


def _trust(certificate: Path | None) -> ssl.SSLContext:
    """Raises ConfigError where *certificate* cannot be read."""
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is for the name that others know the server by, and asked here by its address.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever signed it
    try:
        context.load_verify_locations(certificate)
    except OSError as error:  # an SSLError is one
        raise ConfigError(f"{certificate}: cannot be read as a certificate: {error}") from error
    return context


def _refused(status: int, content: bytes) -> NoReturn:
    """Raises RemoteError with what the server says."""
    exit_status = _EXITS.get(status, Exit.FAILED)
    try:
        told = json.loads(content)
        message = str(told["detail"])
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {status}, and no problem that is understood"
    raise RemoteError(message, exit_status)


def split(key: str) -> tuple[str, str]:
    """A mirror's type and name. Raises ConfigError."""
    kind, _, name = key.partition("/")
    if not kind or not name:
        raise ConfigError(f"{key}: write a mirror as <type>/<name>, such as conda/main")
    return kind, name


def assigned(text: str) -> tuple[str, Any]:
    """What `key=value` says: the value is TOML, or a text without quotes. Raises ConfigError."""
    name, is_one, value = text.partition("=")
    if not is_one or not name.strip():
        raise ConfigError(f"--set {text}: write key=value")
    try:
        return name.strip(), tomllib.loads(f"it = {value}")["it"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What goes wrong is told without a traceback, and by the exit status."""
    try:
        yield
    except RemoteError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_status) from None
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.WRONG) from None
