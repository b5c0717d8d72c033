"""The file that tokens are kept in, hashed: written by commands, read by running servers.

A change is made under a lock, written aside and renamed, so that a reader sees the old file or
the new one. The file is its owner's alone; what it holds cannot be turned back into tokens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from proxy.core.tokens import Token, Tokens, scope_of
from proxy.errors import ConfigError, StorageError

VERSION = 1
"""Of the file's format; another one is refused."""


class _Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    id: str
    sha256: str
    scopes: list[str]
    created: float
    expires: float | None = None


class _File(msgspec.Struct):
    version: int
    tokens: list[_Row]


Signature = tuple[int, int, int] | None


class NameTaken(ConfigError):
    """A token of that name is kept already."""


class UnknownToken(ConfigError):
    """No token of that name is kept."""


class TokenFile:
    """The tokens in the file *path*; none where there is no such file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signature: Signature = None
        self._tokens = Tokens()

    def __repr__(self) -> str:
        return f"<TokenFile {self.path}>"

    def read(self) -> Tokens:
        """What the file holds now; read again only where it has changed.

        Raises StorageError where it cannot be read, ConfigError where it makes no sense.
        """
        signature = self._signed()
        if signature != self._signature:
            self._tokens = Tokens() if signature is None else self._parsed()
            self._signature = signature
        return self._tokens

    def add(self, token: Token) -> None:
        """Keep *token*. Raises NameTaken, and as `read` does."""

        def added(tokens: list[Token]) -> list[Token]:
            if any(one.name == token.name for one in tokens):
                raise NameTaken(
                    f"there is a token {token.name} already: choose another name, or revoke it"
                )
            return [*tokens, token]

        self._change(added)

    def remove(self, name: str) -> Token:
        """Forget the token *name*, and return it. Raises UnknownToken, and as `read` does."""
        gone: list[Token] = []

        def removed(tokens: list[Token]) -> list[Token]:
            gone.extend(one for one in tokens if one.name == name)
            if not gone:
                known = ", ".join(sorted(one.name for one in tokens)) or "none at all"
                raise UnknownToken(f"there is no token {name[:80]!r}; there are: {known}")
            return [one for one in tokens if one.name != name]

        self._change(removed)
        return gone[0]

    def _signed(self) -> Signature:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _parsed(self) -> Tokens:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except OSError as error:
            raise self._unreadable(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: is not a file of tokens: {error}") from error
        if found.version != VERSION:
            raise ConfigError(
                f"{self.path}: is of version {found.version}, which another version of pkgproxy "
                f"wrote; this one reads {VERSION}"
            )
        return Tokens(_token(row) for row in found.tokens)

    def _change(self, change: Callable[[list[Token]], list[Token]]) -> None:
        try:
            with self._locked():
                tokens = change(list(self.read()))
                rows = [_row(one) for one in tokens]
                self._write(msgspec.json.encode(_File(version=VERSION, tokens=rows)))
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """While entered, no other process changes the file."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path.with_name(f".{self.path.name}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._given_to_owner(lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
                file.write(msgspec.json.format(content) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self._given_to_owner(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _given_to_owner(self, descriptor: int) -> None:
        """A file that root makes in a service's folder belongs to the service."""
        if os.geteuid() == 0:
            folder = self.path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path}: cannot be read: {error.strerror}")


def _row(token: Token) -> _Row:
    return _Row(
        name=token.name,
        id=token.id,
        sha256=token.digest,
        scopes=[str(scope) for scope in token.scopes],
        created=token.created,
        expires=token.expires,
    )


def _token(row: _Row) -> Token:
    """Raises ConfigError."""
    return Token(
        name=row.name,
        id=row.id,
        digest=row.sha256,
        scopes=tuple(scope_of(scope) for scope in row.scopes),
        created=row.created,
        expires=row.expires,
    )
