"""Which line of a TOML text each setting stands on; the standard parser does not tell.

Reads only texts that the standard parser has accepted, and so needs no errors of its own. What
a value is, is the parser's business: here values are only stepped over.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Path = tuple[str | int, ...]
"""Keys and, within arrays, positions: ("mirror", 1, "source")."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}(?!")|\'{3}.*?\'{3,5}(?!\')|"(?:\\.|[^"\\])*"|\'[^\']*\'''',
    re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_SIMPLE = re.compile(r"[^,\]}#\n]*")  # numbers, dates, true and false


def lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) where each table, key and array element of *text* begins."""
    return _Scan(text.replace("\r\n", "\n")).run()


def line_of(found: Mapping[Path, int], path: Path) -> int | None:
    """The line of *path*, or of the innermost table around it that is written down."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return None


class _Scan:
    """One walk over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Path, int] = {}
        self._last: dict[Path, int] = {}  # arrays of tables: the position of their last table

    def run(self) -> dict[Path, int]:
        here: Path = ()
        while self._skip(_BLANK):
            if self._text[self._at] == "[":
                here = self._header()
            else:
                self._pair(here)
        return self._found

    def _header(self) -> Path:
        line = self._line()
        array = self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        *outer, last = self._key()
        self._at += 2 if array else 1
        here: Path = ()
        for key in outer:
            here = (*here, key)
            if here in self._last:
                here = (*here, self._last[here])
        here = (*here, last)
        if array:
            self._found.setdefault(here, line)
            self._last[here] = self._last.get(here, -1) + 1
            here = (*here, self._last[here])
        self._found[here] = line
        return here

    def _pair(self, here: Path) -> None:
        line = self._line()
        for key in self._key():
            here = (*here, key)
            self._found.setdefault(here, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(here)

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case '"' | "'":
                self._skip(_STRING)
            case "[":
                self._inside(path, "]")
            case "{":
                self._inside(path, "}")
            case _:
                self._skip(_SIMPLE)

    def _inside(self, path: Path, end: str) -> None:
        """An array or an inline table, from its opening bracket on."""
        self._at += 1
        position = 0
        while self._skip(_BLANK) and self._text[self._at] != end:
            if self._text[self._at] == ",":
                self._at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._found[*path, position] = self._line()
                self._value((*path, position))
                position += 1
        self._at += 1

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            begin = self._at
            if self._text[begin] in "\"'":
                self._skip(_STRING)
                parts.append(tomllib.loads(f"it={self._text[begin : self._at]}")["it"])
            else:
                self._skip(_WORD)
                parts.append(self._text[begin : self._at])
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Step over what matches; whether anything is left then."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1
