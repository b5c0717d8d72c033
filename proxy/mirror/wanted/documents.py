"""Files of projects, opened and decoded: text, TOML, JSON, YAML, each error naming file and line.

`Table` gives typed access to what was decoded; its errors name the key, as `package[3].url`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proxy.errors import ConfigError

_LARGEST = 64 << 20  # bytes; the largest locks of real projects have a tenth of that

# libyaml reads a lock of 20,000 lines in a tenth of a second, the other one in two.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text(path: Path) -> str:
    """Raises ConfigError where it cannot be read, is no text, or absurdly large."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path}: has more than {_LARGEST >> 20} MB: what file is this?")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not a text in UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no path: {error}") from error


def toml(path: Path) -> Table:
    """Raises ConfigError."""
    try:
        return Table(str(path), "", tomllib.loads(text(path)))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def json_table(path: Path) -> Table:
    """Raises ConfigError."""
    try:
        return Table(str(path), "", json.loads(text(path)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from error


def yaml_table(path: Path) -> Table:
    """Raises ConfigError."""
    try:
        return Table(str(path), "", yaml.load(text(path), Loader=_LOADER))  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date may be none: ValueError
        raise ConfigError(f"{path}: is not YAML: {_on_one_line(error)}") from error


def _on_one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


@dataclass(frozen=True, slots=True)
class Table:
    """A decoded table of *file*, found at *key* ("" for the whole document)."""

    file: str
    key: str
    value: Any

    def __post_init__(self) -> None:
        """Raises ConfigError where it is no table."""
        if not isinstance(self.value, dict):
            raise ConfigError(f"{self.where}: is {_kind(self.value)}, not a table")

    def __contains__(self, name: str) -> bool:
        return self.value.get(name) is not None

    @property
    def where(self) -> str:
        """The file, and the key in it."""
        return f"{self.file}: {self.key}" if self.key else self.file

    def at(self, name: str) -> str:
        """Where the key *name* of this table is."""
        return f"{self.file}: {self._below(name)}"

    def text(self, name: str) -> str:
        """Raises ConfigError where it is absent or no text."""
        value = self.value.get(name)
        if not isinstance(value, str):
            raise ConfigError(f"{self.at(name)}: is {_kind(value)}, not a text")
        return value

    def optional(self, name: str) -> str | None:
        """A text, or None. Raises ConfigError."""
        return self.text(name) if name in self else None

    def table(self, name: str) -> Table:
        """That table; an empty one where it is absent. Raises ConfigError."""
        value = self.value.get(name)
        return Table(self.file, self._below(name), {} if value is None else value)

    def tables(self, name: str) -> Iterator[Table]:
        """The tables of a list. Raises ConfigError."""
        for number, value in enumerate(self.listed(name)):
            yield Table(self.file, f"{self._below(name)}[{number}]", value)

    def texts(self, name: str) -> list[str]:
        """Raises ConfigError where something in the list is no text."""
        values = self.listed(name)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise ConfigError(f"{self.at(name)}[{number}]: is {_kind(value)}, not a text")
        return values

    def listed(self, name: str) -> list[Any]:
        """A list; an empty one where it is absent. Raises ConfigError."""
        value = self.value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ConfigError(f"{self.at(name)}: is {_kind(value)}, not a list")
        return value

    def _below(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


def _kind(value: object) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "a truth value"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a {type(value).__name__}"
