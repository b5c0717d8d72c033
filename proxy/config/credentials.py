"""Credentials that the configuration names, with their secrets fetched from where they lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import ConfigError

_SECRETS = ("token", "password", "value")
_KINDS = {
    "bearer": ("token",),
    "token": ("token",),
    "basic": ("username", "password"),
    "header": ("name", "value"),
}
KINDS = tuple(_KINDS)
"""What a credential may be: bearer, conda token in the path, basic, any one header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """`Authorization: Bearer …`"""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """`Authorization: Basic …` (RFC 7617)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathToken:
    """`/t/<token>` in front of the path, as conda's servers want it."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Any one header, such as `X-API-Key`."""

    name: str
    value: str = field(repr=False)


Credential = Bearer | Basic | PathToken | Header


def resolve(table: Mapping[str, object], where: str, environ: Mapping[str, str]) -> Credential:
    """Make a credential of a `[credentials.<name>]` table, which *where* names in messages.

    A secret may stand in the table, in a file (`token_file`) or in a variable (`token_env`).
    Raises ConfigError, never with the secret.
    """
    kind = table.get("kind")
    if kind not in _KINDS:
        raise ConfigError(f"{where}.kind must be one of {', '.join(_KINDS)}")
    wanted = _KINDS[str(kind)]
    allowed = {"kind", *wanted, *(f"{name}_{how}" for name in wanted for how in ("file", "env"))}
    for key in table:
        if key not in allowed:
            raise ConfigError(f"{where}.{key} is not a key of kind {kind}; {sorted(allowed)} are")
    values = {name: _value(table, name, where, environ) for name in wanted}
    match kind:
        case "bearer":
            return Bearer(token=values["token"])
        case "token":
            return PathToken(token=values["token"])
        case "basic":
            return Basic(username=values["username"], password=values["password"])
        case _:
            return Header(name=values["name"], value=values["value"])


def _value(table: Mapping[str, object], name: str, where: str, environ: Mapping[str, str]) -> str:
    given = [key for key in (name, f"{name}_file", f"{name}_env") if key in table]
    if len(given) != 1:
        ways = f"{where}.{name}, {name}_file or {name}_env"
        raise ConfigError(f"exactly one of {ways} must be given, not {len(given)}")
    key, raw = given[0], table[given[0]]
    if not isinstance(raw, str) or not raw:
        raise ConfigError(f"{where}.{key} must be a text that is not empty")
    if key.endswith("_env"):
        if raw not in environ:
            raise ConfigError(f"{where}.{key}: the environment has no variable {raw}")
        value = environ[raw]
    elif key.endswith("_file"):
        path = Path(os.path.expandvars(raw)).expanduser()
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}.{key}: {path} cannot be read: {error}") from error
    else:
        value = raw
    if not value or any(ord(character) < 32 for character in value):
        raise ConfigError(f"{where}.{key}: the value is empty or holds control characters")
    return value
