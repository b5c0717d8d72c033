"""Mirrors made at run time, and which mirrors are frozen: one TOML file in the cache folder.

It is read as part of the configuration (`proxy.config.written`), so that all workers and commands
see the same mirrors with the same checks. Written here, as a whole, and only with content that
the configuration's own checks have accepted.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import tomli_w

from proxy.errors import ConfigError, StorageError

_INTRODUCTION = (
    "# Written by pkgproxy: mirrors made while it ran, and since when which are frozen.\n\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What stands in the file: `[[mirror]]` tables, and moments by mirrors' keys."""

    mirrors: tuple[Mapping[str, Any], ...] = ()
    frozen: Mapping[str, float] = field(default_factory=dict)

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The table of the mirror of that key."""
        return next((one for one in self.mirrors if key_of(one) == key), None)

    def with_mirror(self, values: Mapping[str, Any]) -> Self:
        """With that table, in place of one for the same mirror."""
        key = key_of(values)
        if self.find(key) is None:
            return replace(self, mirrors=(*self.mirrors, values))
        mirrors = tuple(values if key_of(one) == key else one for one in self.mirrors)
        return replace(self, mirrors=mirrors)

    def without_mirror(self, key: str) -> Self:
        """Without the mirror of that key."""
        return replace(self, mirrors=tuple(one for one in self.mirrors if key_of(one) != key))

    def with_frozen(self, key: str, at: float | None) -> Self:
        """With that mirror frozen since *at*, or no longer."""
        others = {name: moment for name, moment in self.frozen.items() if name != key}
        return replace(self, frozen=others if at is None else {**others, key: at})

    @property
    def text(self) -> str:
        """As TOML. Raises ConfigError for values that TOML has not."""
        content: dict[str, Any] = {"mirror": [dict(one) for one in self.mirrors]}
        if self.frozen:
            content["frozen"] = dict(self.frozen)
        try:
            return _INTRODUCTION + tomli_w.dumps(content)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"a mirror's table cannot be written as TOML: {error}") from error


class Book:
    """The file, and who writes it: the first worker alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def read(self) -> Made:
        """What stands there. Raises StorageError where it cannot be read."""
        try:
            content = tomllib.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Made()
        except (OSError, ValueError) as error:
            raise StorageError(f"{self._path} cannot be read: {error}") from error
        return Made(mirrors=tuple(content.get("mirror", ())), frozen=content.get("frozen", {}))

    def write(self, made: Made) -> None:
        """Write all of it, or nothing. Raises StorageError; blocks for as long as the disk does."""
        aside = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            # Sources may hold secrets.
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(made.text)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise StorageError(f"{self._path} cannot be written: {error}") from error


def key_of(values: Mapping[str, Any]) -> str:
    """The key of the mirror that a table describes."""
    return f"{values.get('type')}/{values.get('name')}"
