"""A new token: made up, kept, and given to whoever asked for it, this once."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.core.tokens import (
    ID_LENGTH,
    SECRET_LENGTH,
    Token,
    checked_name,
    hashed,
    scope_of,
    spelt,
)
from proxy.storage.token_file import TokenFile

_KINDS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A token as it is kept, and its text, which is kept nowhere."""

    token: Token
    text: str = field(repr=False)


def make(
    file: TokenFile, name: str, scopes: Iterable[str], *, now: float, holds_for: float | None
) -> Made:
    """Make a token that holds for so many seconds, None for ever, and keep it in *file*.

    Raises ConfigError for a name or scope that cannot be, and as `TokenFile.add` does.
    """
    id_ = _random(ID_LENGTH)
    text = spelt(id_, _random(SECRET_LENGTH))
    token = Token(
        name=checked_name(name),
        id=id_,
        digest=hashed(text),
        scopes=tuple(dict.fromkeys(scope_of(scope) for scope in scopes)),
        created=now,
        expires=None if holds_for is None else now + holds_for,
    )
    file.add(token)
    return Made(token=token, text=text)


def _random(length: int) -> str:
    return "".join(secrets.choice(_KINDS) for _ in range(length))
