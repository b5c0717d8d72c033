"""Mirrors as they are written down, by the operator or by the server for the administrator.

What the administrator makes of mirrors while the server runs, and which of all mirrors are frozen,
stands in one TOML file in the cache folder. It is read like a file of the operator's, whose
mirrors win over those of the same type and name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.files import ConfigFile
from proxy.config.findings import Findings
from proxy.config.kinds import SOURCE

MADE = Path("mirrors") / "mirrors.toml"
"""The file within the cache folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One `[[mirror]]` table: the keys that stand there, as a file says them, without secrets.

    `made`: while the server ran. `shadowed`: a mirror of the configuration has taken its place.
    `doubts`: what of the keys, which are named, is likely to be a mistake.
    """

    key: str
    values: Mapping[str, Any] = field(repr=False)
    made: bool = False
    shadowed: bool = False
    doubts: tuple[str, ...] = ()


def made_file(layer: Path, text: str | None, found: Findings) -> ConfigFile | None:
    """The file in the cache folder *layer*, or as if *text* stood there; None: there is none."""
    path = layer / MADE
    if text is not None:
        return found.caught(lambda: ConfigFile.of(path, text))
    return found.caught(lambda: ConfigFile.read(path)) if path.exists() else None


def frozen(file: ConfigFile | None) -> Mapping[str, float]:
    """Since when which mirrors are frozen (seconds since the epoch), by key."""
    table = {} if file is None else file.content.get("frozen", {})
    return {key: float(at) for key, at in table.items()} if isinstance(table, dict) else {}


def shown(content: Mapping[str, Any]) -> dict[str, Any]:
    """A table that was not checked, without secrets."""
    source = content.get("source")
    return {**content, "source": SOURCE.show(source) if isinstance(source, str) else source}
