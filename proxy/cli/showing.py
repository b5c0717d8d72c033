"""The effective configuration as text: TOML with the origin of each value, or JSON.

What is shown can be read again as a configuration file, but for the secrets, which are masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from proxy.config import Loaded
from proxy.config.declared import SECTIONS

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_json(loaded: Loaded) -> str:
    """An object from dotted key to value and origin."""
    rows = {
        key: {"value": value, "origin": loaded.origins[key]} for key, value in loaded.values.items()
    }
    return json.dumps(rows, indent=2, ensure_ascii=False)


def as_toml(loaded: Loaded) -> str:
    """A configuration file that says everything, defaults too."""
    return "\n".join(_lines(loaded))


def _lines(loaded: Loaded) -> Iterator[str]:
    for file in loaded.files:
        yield f"# read: {file}"
    yield from _keys(loaded, "auth_file", ("",))
    for section, keys in SECTIONS.items():
        yield f"\n[{section}]"
        yield from _keys(loaded, f"{section}.", (key.name for key in keys))
    for name in loaded.settings.credentials:
        yield f"\n[credentials.{_key(name)}]"
        prefix = f"credentials.{name}."
        yield from _keys(loaded, prefix, _below(loaded, prefix))
    for mirror in loaded.settings.mirrors:
        yield "\n[[mirror]]"
        prefix = f"mirror.{mirror.key}."
        yield from _keys(loaded, prefix, _below(loaded, prefix))


def _below(loaded: Loaded, prefix: str) -> Iterator[str]:
    for dotted in loaded.values:
        name = dotted.removeprefix(prefix)
        if name != dotted and "." not in name and "/" not in name:
            yield name


def _keys(loaded: Loaded, prefix: str, names: Any) -> Iterator[str]:
    for name in names:
        dotted = prefix + name
        value, origin = loaded.values[dotted], loaded.origins[dotted]
        if value is None:
            yield f"# {name or dotted} is not set"
        else:
            yield f"{name or dotted} = {_value(value)}  # {origin}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """JSON's texts, numbers, arrays and truth values are TOML's, too."""
    return json.dumps(value, ensure_ascii=False)
