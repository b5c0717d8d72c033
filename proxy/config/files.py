"""Configuration files: the one that is named, and those of the `conf.d` folder beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from proxy.config import lines
from proxy.errors import ConfigError

FOLDER = "conf.d"
"""The folder beside the main file whose `*.toml` files are read as well."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read, and where everything stands in it."""

    path: Path
    content: Mapping[str, Any] = field(repr=False)
    lines: Mapping[lines.Path, int] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigError where the file cannot be read or is not TOML."""
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors begin it with a mark
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: is not UTF-8 text; save it as that") from error
        return cls.of(path, text)

    @classmethod
    def of(cls, path: Path, text: str) -> Self:
        """The file that *text* would make at *path*. Raises ConfigError where it is not TOML."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: is not TOML: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{path}: is nested too deeply") from error
        return cls(path, content, lines.lines(text))

    def at(self, *path: str | int) -> str:
        """`file:line` of a setting or of the table where it is missing; else the file alone."""
        line = lines.line_of(self.lines, path)
        return f"{self.path}:{line}" if line else str(self.path)


def paths(main: Path | None) -> Iterator[Path]:
    """*main* and what lies beside it, in the order in which they count. Raises ConfigError."""
    if main is None:
        return
    yield main
    try:
        found = sorted((main.parent / FOLDER).glob("*.toml"))
    except OSError as error:
        raise ConfigError(f"{main.parent / FOLDER}: cannot be read: {error.strerror}") from error
    yield from (path for path in found if not path.name.startswith("."))  # editors' lock files
