"""Kinds of values that a setting may have: how each is read, and how it is described.

A reader takes what TOML gives (or the text of an environment variable) and returns the typed
value; it raises ValueError with what should be written instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: its name in the reference and its reader."""

    name: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('write a text in quotes, such as "…"')
    return value


def _duration(value: Any) -> float:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found:
        return float(found[1]) * _UNITS[found[2] or "s"]
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError('write seconds, or a text with a unit, such as 90, "10m", "12h" or "7d"')


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.lower() in ("true", "1", "yes")
    raise ValueError("write true or false")


def _path(value: Any) -> Path:
    path = Path(_text(value)).expanduser()
    if not path.is_absolute():
        raise ValueError("write an absolute path, or one that begins with ~/")
    return path


def _host(value: Any) -> str:
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ValueError('write an address or a host name, such as "127.0.0.1"')
    return value


def _hosts(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise ValueError('write a list of hosts, such as ["files.example.org"]')
    return frozenset(_host(one) for one in value)


def whole(least: int, most: int) -> Kind:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return value

    return Kind(f"whole number, {least} to {most}", read)


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def read(value: Any) -> str:
        if value not in words:
            choice = " or ".join(f'"{word}"' for word in words)
            raise ValueError(f"{str(value)[:80]!r} is unknown; write {choice}")
        return str(value)

    return Kind(" or ".join(f"`{word}`" for word in words), read)


TEXT = Kind("text", _text)
DURATION = Kind("duration", _duration)
FLAG = Kind("true or false", _flag)
PATH = Kind("absolute path", _path)
HOST = Kind("address or host name", _host)
HOSTS = Kind("list of hosts", _hosts)
