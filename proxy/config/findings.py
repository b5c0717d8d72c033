"""What one reading of the configuration found: values, where they come from, what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from proxy.config.key import Key
from proxy.errors import ConfigError

T = TypeVar("T")

DEFAULT = "default"
"""The origin of a value that nobody set."""


class Findings:
    """Filled while reading, so that all that is wrong is reported at once.

    `wrong` are whole messages, and so are `doubtful`: what is likely to be a mistake. `origins` and
    `values` are by dotted key; the values as a file would say them, without secrets.
    """

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.doubtful: list[str] = []
        self.origins: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def caught(self, work: Callable[[], T]) -> T | None:
        """What *work* gives; what it raises is noted."""
        try:
            return work()
        except ConfigError as error:
            self.wrong.append(str(error))
            return None

    def unknown(self, where: str, shown: str, name: str, known: Iterable[str]) -> None:
        """*name*, called *shown* in the message, is none of the *known* ones."""
        close = difflib.get_close_matches(name, list(known), 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        self.wrong.append(f"{where}: {shown}: there is no such setting; {hint}")

    def checked(self, dotted: str, key: Key, raw: Any, where: str, origin: str) -> Any:
        """The typed value of *raw*; None where there is none, or it is wrong."""
        self.origins[dotted] = origin
        self.values[dotted] = None
        if raw is None:
            return None
        try:
            value = key.kind.read(raw)
        except ValueError as error:
            self.wrong.append(f"{where}: {error}")
            return None
        self.values[dotted] = key.kind.show(value)
        return value
