"""Tokens: what proves who a client is, and what it may then do.

A token is `pkp-<id>-<secret>`: letters, digits and hyphens only, because conda takes no others out
of a URL. Only the SHA-256 of the whole is ever stored; the id finds it, a comparison in constant
time decides. Making one up, keeping and reading the file is left to others.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from proxy.errors import ConfigError

ID_LENGTH, SECRET_LENGTH = 8, 32
"""Characters of a token's two parts; 32 of 62 kinds are 190 bits, which nobody guesses, so that a
fast hash without salt is enough."""

_TOKEN = re.compile(rf"pkp-([A-Za-z0-9]{{{ID_LENGTH}}})-[A-Za-z0-9]{{{SECRET_LENGTH}}}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PATTERN = re.compile(r"[a-z0-9_./*?-]{1,200}")
_NOBODY = "0" * 64  # compared with where no token has the id, so that it takes as long


class Action(enum.StrEnum):
    """What a token may let its holder do."""

    READ = "read"  # fetch from mirrors
    WRITE = "write"  # upload to mirrors
    METRICS = "metrics"  # read /metrics
    ADMIN = "admin"  # everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One thing that is allowed; `pattern` fits the keys (`type/name`) of mirrors."""

    action: Action
    pattern: str = "*"

    def __str__(self) -> str:
        return self.action if self.pattern == "*" else f"{self.action}:{self.pattern}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is kept: named, hashed, with what it allows. `expires` None: never."""

    name: str
    id: str
    digest: str = field(repr=False)
    scopes: tuple[Scope, ...]
    created: float
    expires: float | None = None

    def allows(self, action: Action, mirror: str = "") -> bool:
        """Whether the holder may do *action*, to the mirror with that key where one is meant."""
        return any(
            scope.action is Action.ADMIN
            or (scope.action is action and fnmatchcase(mirror, scope.pattern))
            for scope in self.scopes
        )

    def is_over(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now


class Tokens:
    """All tokens there are, by id."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._by_id = {token.id: token for token in tokens}

    def __iter__(self) -> Iterator[Token]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"<Tokens {', '.join(token.name for token in self)}>"

    def find(self, text: str, now: float) -> Token | None:
        """The token that *text* is, unless it is over. Takes as long whatever is wrong with it."""
        id_ = id_of(text)
        token = self._by_id.get(id_) if id_ is not None else None
        known = token.digest if token is not None else _NOBODY
        is_it = hmac.compare_digest(hashed(text), known)
        return token if token is not None and is_it and not token.is_over(now) else None


def spelt(id_: str, secret: str) -> str:
    """The text of a token, which is shown once."""
    text = f"pkp-{id_}-{secret}"
    assert id_of(text) == id_
    return text


def id_of(text: str) -> str | None:
    """The id in a token's text; None where it is none."""
    found = _TOKEN.fullmatch(text)
    return found[1] if found else None


def hashed(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def checked_name(name: str) -> str:
    """*name* itself. Raises ConfigError where a token cannot be called so."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r}: a token's name is made of up to 64 lower-case letters, digits and "
            ". _ - (not at the start), such as build-farm"
        )
    return name


def checked_pattern(pattern: str) -> str:
    """*pattern* itself. Raises ConfigError where no mirror could ever fit it."""
    if not _PATTERN.fullmatch(pattern):
        raise ConfigError(
            f"{pattern[:80]!r}: write a mirror as <type>/<name>, with * and ? for what may vary, "
            "such as conda/*"
        )
    return pattern


def scope_of(text: str) -> Scope:
    """Read `read`, `read:<pattern>`, `write`, `write:<pattern>`, `metrics` or `admin`.

    Raises ConfigError.
    """
    word, colon, pattern = text.partition(":")
    if word not in list(Action):
        known = ", ".join(Action)
        raise ConfigError(f"{text[:80]!r}: a scope is one of {known}; read:conda/* is one, too")
    action = Action(word)
    if not colon:
        return Scope(action=action)
    if action not in (Action.READ, Action.WRITE):
        raise ConfigError(f"{text[:80]!r}: {action} is not about single mirrors; write {action}")
    return Scope(action=action, pattern=checked_pattern(pattern))
