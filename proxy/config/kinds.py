"""Kinds of values that a setting may have: how each is read, shown again, and described.

A reader takes what TOML gives and returns the typed value; it raises ValueError with what should
be written instead. Readers never repeat a value that may be a secret.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.tokens import checked_pattern
from proxy.core.urls import redacted
from proxy.errors import ConfigError

LONGEST = 100 * 365 * 86400.0
"""Seconds. Longer durations are mistakes, and timers overflow."""

LARGEST = 1 << 60
"""Bytes. No store is larger."""

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w)?")
_SIZES = {"b": 1}
_SIZES |= {f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)}
_SIZES |= {f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_IPV6 = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*")
_HOST_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([^\[\]:]+|[^\[\]]*:[^\[\]]*:[^\[\]]*))(:\d{1,5})?")
_VERSIONED = re.compile(r"\S\s*(?:[<>=~]|!=)=?\s*[\d*]|\S\s+\S|\[")  # or extras
_NAME = re.compile(r"[\w*?][\w.+*?-]*")
_OF_FILES = (".whl", ".conda", ".tar.gz", ".tgz", ".tar.bz2", ".zip")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: its name in the reference, and its reader.

    `parse` turns the text of an environment variable into what TOML would give; `show` turns the
    typed value into what a file would say, without secrets.
    """

    name: str
    read: Callable[[Any], Any]
    parse: Callable[[str], Any] = _same
    show: Callable[[Any], Any] = _same


def whole(least: int, most: int) -> Kind:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return value

    def parse(text: str) -> int | str:
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text

    return Kind(f"whole number, {least} to {most}", read, parse=parse)


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def read(value: Any) -> str:
        if value not in words:
            choice = " or ".join(f'"{word}"' for word in words)
            raise ValueError(f"{str(value)[:40]!r} is unknown; write {choice}")
        return str(value)

    return Kind(" or ".join(f"`{word}`" for word in words), read)


def duration(*, least: float = 0.0) -> Kind:
    """Seconds, or a text with a unit; read as seconds."""
    name = "duration, more than 0" if least else "duration"

    def read(value: Any) -> float:
        seconds = _seconds(value)
        if seconds is None:
            raise ValueError('write seconds, or a text with a unit, such as 90, "10m" or "7d"')
        if not least <= seconds <= LONGEST:
            raise ValueError(f"write a duration from {spelt(least)} to {spelt(LONGEST)}")
        return seconds

    return Kind(name, read, show=spelt)


def spelt(seconds: float) -> str:
    """A duration as a file says it, in the largest unit that divides it: 600 is "10m"."""
    for unit, length in _UNITS.items():
        count = seconds / length
        if unit == "ms" or (count >= 1 and count == int(count) and unit != "w"):
            return f"{count:.10g}{unit}" if seconds else "0s"
    raise AssertionError(seconds)


def _size(value: Any) -> int:
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        size = int(float(found[1]) * _SIZES[(found[2] or "b").lower()])
    elif isinstance(value, bool) or not isinstance(value, int):
        size = -1
    else:
        size = value
    if not 0 < size < LARGEST:
        raise ValueError('write a number of bytes, or a text with a unit, such as "50GB" or "8GiB"')
    return size


def spelt_size(size: int | None) -> str | int | None:
    """A size as a file says it, in the largest unit that divides it."""
    for unit in ("TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        count, rest = divmod(size or 0, _SIZES[unit.lower()])
        if count and not rest:
            return f"{count}{unit}"
    return size


def _seconds(value: Any) -> float | None:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        return float(found[1]) * _UNITS[found[2] or "s"] if found else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('write a text in quotes, such as "…"')
    if not value.isprintable():
        raise ValueError("write it without line ends and other control characters")
    return value


def _flag(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise ValueError("write true or false")


def _parsed_flag(text: str) -> bool | str:
    return _FLAGS.get(text.lower(), text)


def _path(value: Any) -> Path:
    try:
        path = Path(_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("the home folder is not known; write an absolute path") from error
    if not path.is_absolute():
        raise ValueError("write an absolute path, or one that begins with ~/")
    return path


def _paths(value: Any) -> tuple[Path, ...]:
    given = value if isinstance(value, list) else [value]
    paths = tuple(_path(one) for one in given)
    if not paths or len(set(paths)) < len(paths):
        raise ValueError("write one folder, or a list of several different ones")
    return paths


def _parsed_paths(text: str) -> str | list[str]:
    several = text.split(os.pathsep)
    return several if len(several) > 1 else text


def _shown_paths(paths: tuple[Path, ...]) -> str | list[str]:
    return str(paths[0]) if len(paths) == 1 else [str(path) for path in paths]


def _file(value: Any) -> Path:
    path = _path(value)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _host(value: Any) -> str:
    if isinstance(value, str) and (_HOST_NAME.fullmatch(value) or _IPV6.fullmatch(value)):
        return value
    raise ValueError('write an address or a host name, such as "127.0.0.1", without a port')


def _hosts(value: Any) -> frozenset[str]:
    given = value if isinstance(value, list) else [value]
    hosts = [_host_and_port(one) if isinstance(one, str) else None for one in given]
    known = frozenset(host for host in hosts if host is not None)
    if given is not value or None in hosts:
        raise ValueError('write a list of hosts, such as ["files.example.org", "10.0.0.5:8081"]')
    return known


def _host_and_port(text: str) -> str | None:
    """As the guard compares it: in lower case, an IPv6 address without its brackets."""
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        return None
    host, port = (found[1] or found[2]).lower(), found[3] or ""
    return host + port if _HOST_NAME.fullmatch(host) or _IPV6.fullmatch(host) else None


def _shown_source(source: str) -> str:
    return redacted(source) if "://" in source else source


def _texts(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one.strip() for one in given):
        raise ValueError('write a list of texts, such as ["numpy", "scipy*"]')
    return tuple(given)


def _names(value: Any) -> tuple[str, ...]:
    """What is more than a name, or a regular expression, would make a pattern that none is like."""
    names = _texts(value)
    for name in names:
        if _VERSIONED.search(name) or name != name.strip():
            raise ValueError(f"{name!r} is more than a name; versions stand in a policy's specs")
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"no package is called like {name!r}: names have letters, digits, . _ - and +, * "
                "and ? stand for any characters, and each name is a text of its own"
            )
        if name.endswith(_OF_FILES):
            raise ValueError(f"{name!r} is the name of a file; write that of its package")
    return names


def _patterns(value: Any) -> tuple[str, ...]:
    try:
        return tuple(checked_pattern(one) for one in _texts(value))
    except ConfigError as error:
        raise ValueError(str(error)) from error


def listed(text: str) -> list[str]:
    """What stands between the commas of an environment variable."""
    return [one.strip() for one in text.split(",")] if text.strip() else []


TEXT = Kind("text", _text)
PATTERNS = Kind("list of patterns", _patterns, parse=listed, show=list)
NAMES = Kind("list of texts", _names, show=list)
TEXTS = Kind("list of texts", _texts, show=list)
SOURCE = Kind("URL", _text, show=_shown_source)
DURATION = duration()
DEADLINE = duration(least=0.001)
SIZE = Kind("size", _size, show=spelt_size)
FLAG = Kind("true or false", _flag, parse=_parsed_flag)
PATH = Kind("absolute path", _path, show=str)
PATHS = Kind("absolute path, or a list of them", _paths, parse=_parsed_paths, show=_shown_paths)
FILE = Kind("absolute path of a file", _file, show=str)
HOST = Kind("address or host name", _host)
HOSTS = Kind("list of hosts", _hosts, show=sorted)
