"""Credentials that the configuration names, with their secrets fetched from where they lie."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from proxy.errors import ConfigError

KINDS: Mapping[str, tuple[str, ...]] = {
    "bearer": ("token",),
    "token": ("token",),
    "basic": ("username", "password"),
    "header": ("name", "value"),
}
"""What a credential may be (bearer, conda token in the path, basic, any one header), and what
each kind consists of."""

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.1
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986 section 3.3, unescaped


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
    Raises ConfigError with one line for each thing that is wrong, never with the secret.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{where}.kind must be one of {', '.join(KINDS)}")
    wrong = list(_unknown(table, kind, where))
    values: dict[str, str] = {}
    for name in KINDS[kind]:
        try:
            values[name] = _value(table, name, where, environ)
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return _made(kind, values, where)


def _made(kind: str, values: Mapping[str, str], where: str) -> Credential:
    match kind:
        case "bearer":
            return Bearer(token=values["token"])
        case "token":
            if not _SEGMENT.fullmatch(values["token"]):
                raise ConfigError(f"{where}: the token has a character that no URL path may have")
            return PathToken(token=values["token"])
        case "basic":
            if ":" in values["username"]:  # RFC 7617 section 2
                raise ConfigError(f"{where}: the username must be without a colon")
            return Basic(username=values["username"], password=values["password"])
        case _:
            if not _FIELD_NAME.fullmatch(values["name"]):
                raise ConfigError(f"{where}: the name is not that of a header")
            return Header(name=values["name"], value=values["value"])


def _unknown(table: Mapping[str, object], kind: str, where: str) -> list[str]:
    allowed = ["kind", *(f"{name}{how}" for name in KINDS[kind] for how in ("", "_file", "_env"))]
    messages = []
    for key in table:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(allowed)}"
            messages.append(f"{where}.{key}: is not a key of kind {kind}; {hint}")
    return messages


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
            # Unnamed: it may be the secret itself, put under the wrong key.
            raise ConfigError(f"{where}.{key}: the environment has no variable of that name")
        value = environ[raw]
    elif key.endswith("_file"):
        value = _content(Template(raw).safe_substitute(environ), f"{where}.{key}")
    else:
        value = raw
    if not value or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ConfigError(f"{where}.{key}: the value is empty or holds control characters")
    return value


def _content(path: str, where: str) -> str:
    try:
        file = Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{where}: the home folder is not known") from error
    if not file.is_absolute():
        raise ConfigError(f"{where}: write an absolute path, or one that begins with ~/ or a $NAME")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{where}: {file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{where}: the file is not UTF-8 text") from error
