"""Which line of a TOML file a setting stands on; the standard parser does not tell.

A reader of lines, not of TOML: it follows table headers and the keys at the start of lines,
which is how configuration files are written. Where it finds nothing it says nothing.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")


def line_of(text: str, path: tuple[str | int, ...]) -> int | None:
    """The number (from 1) of the line that gives the setting at *path*, or its table.

    A path is made of keys and, within arrays of tables, positions: ("mirror", 1, "source").
    """
    here: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    table: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            keys = _split(header[2])
            here = keys
            if header[1] == "[[":
                name = ".".join(keys)
                counts[name] = counts.get(name, -1) + 1
                here = (*keys, counts[name])
        elif key := _KEY.match(line):
            if (*here, *_split(key[1])) == path:
                return number
            continue
        if here and here == path[: len(here)]:
            table = number if table is None or here == path[:-1] else table
    return table


def _split(key: str) -> tuple[str, ...]:
    if key[:1] in "\"'":
        return (key[1:-1],)
    return tuple(part.strip().strip("\"'") for part in key.split("."))
