"""Clients' tokens from the command line, also while a server runs: it notices within a second."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from proxy.config import Settings
from proxy.config.kinds import DEADLINE
from proxy.core.tokens import Action, Token, scope_of
from proxy.errors import ConfigError
from proxy.storage.token_file import TokenFile
from proxy.storage.token_making import make


def created(settings: Settings, name: str, scopes: Iterable[str], expires: str | None) -> str:
    """Make a token; its text, which is kept nowhere. Raises ConfigError and StorageError."""
    holds_for = None if expires is None else _duration(expires)
    file = TokenFile(settings.token_file)
    return make(file, name, scopes, now=time.time(), holds_for=holds_for).text


def doubts(settings: Settings, scopes: Iterable[str]) -> Iterator[str]:
    """Which of *scopes* are for no mirror that there is, or for what is not done here."""
    for scope in map(scope_of, scopes):
        if scope.action is Action.WRITE:
            yield f"{scope}: nothing can be uploaded here, so that it allows nothing"
        elif not any(fnmatchcase(one.key, scope.pattern) for one in settings.mirrors):
            known = ", ".join(one.key for one in settings.mirrors)
            yield f"{scope}: there is no mirror like {scope.pattern}; known are {known}"


def revoked(settings: Settings, name: str) -> None:
    """Forget the token *name*. Raises ConfigError and StorageError."""
    TokenFile(settings.token_file).remove(name)


def listed(settings: Settings) -> list[Token]:
    """All tokens, by name. Raises ConfigError and StorageError."""
    return sorted(TokenFile(settings.token_file).read(), key=lambda token: token.name)


def as_table(tokens: Iterable[Token]) -> str:
    """For people: a line for each."""
    rows = [("NAME", "SCOPES", "CREATED", "EXPIRES")]
    now = time.time()
    for token in tokens:
        over = " (is over)" if token.is_over(now) else ""
        scopes = " ".join(str(scope) for scope in token.scopes)
        rows.append((token.name, scopes, _day(token.created), _day(token.expires) + over))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
    return "\n".join(lines)


def as_json(tokens: Iterable[Token]) -> str:
    """For programs: times are seconds since the epoch."""
    return json.dumps(
        [
            {
                "name": token.name,
                "scopes": [str(scope) for scope in token.scopes],
                "created": token.created,
                "expires": token.expires,
            }
            for token in tokens
        ],
        indent=2,
    )


def _duration(text: str) -> float:
    try:
        return float(DEADLINE.read(text))
    except ValueError as error:
        raise ConfigError(f"--expires: {error}") from error


def _day(moment: float | None) -> str:
    return "never" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}Z"
