"""The operator's own word on advisories: a TOML file of `[[advisory]]` tables.

Each gives the state of one vulnerability, for some packages or all, for a time or for good. What
is known to be malicious stays so, whatever is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from proxy.config.files import ConfigFile
from proxy.core.advisories import Advisory, Status
from proxy.core.osv import normalised
from proxy.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What the operator says of a vulnerability: its state, for which packages (none: for all).

    `until` is in seconds since the epoch; from then on it does not count. `where` is for messages.
    """

    id: str
    status: Status
    packages: tuple[str, ...] = ()
    until: float | None = None
    where: str = ""

    def is_about(self, advisory: Advisory, ecosystem: str, name: str) -> bool:
        """Whether it holds for *advisory* on the package called *name* in *ecosystem*."""
        if self.id != advisory.id and self.id not in advisory.aliases:
            return False
        return not self.packages or name in {normalised(ecosystem, one) for one in self.packages}


def read_overlay(path: Path, now: float) -> list[Remark]:
    """The remarks that hold at *now*. Raises ConfigError with file, line, table and key."""
    file = ConfigFile.read(path)
    tables = file.content.get("advisory", [])
    if file.content.keys() - {"advisory"} or not isinstance(tables, list):
        raise ConfigError(f"{path}: write [[advisory]] tables and nothing else")
    remarks = [
        _remark(f"{file.at('advisory', number)}: advisory {number + 1}", one)
        for number, one in enumerate(tables)
    ]
    return [one for one in remarks if one.until is None or now < one.until]


def remarked(advisory: Advisory, ecosystem: str, name: str, remarks: Sequence[Remark]) -> Advisory:
    """*advisory* in the state that the first remark about it gives; malicious ones as they are."""
    if advisory.malicious:  # also under an alias, which the remark cannot be refused for
        return advisory
    for remark in remarks:
        if remark.is_about(advisory, ecosystem, name):
            return replace(advisory, status=remark.status)
    return advisory


def _remark(where: str, table: Any) -> Remark:
    known = {"id", "status", "packages", "until", "reason"}
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: write a table, [[advisory]]")
    if odd := sorted(table.keys() - known):
        raise ConfigError(f"{where}, {odd[0]}: known are {', '.join(sorted(known))}")
    name, status = table.get("id"), table.get("status")
    states = [one.value for one in Status]
    if not isinstance(name, str) or not name:
        raise ConfigError(f'{where}, id: write the id of an advisory, such as "CVE-2024-0001"')
    if name.startswith("MAL-"):
        raise ConfigError(f"{where}, id: what is known to be malicious is always refused")
    if status not in states:
        raise ConfigError(f"{where}, status: write one of {', '.join(states)}")
    if not isinstance(table.get("reason", ""), str):
        raise ConfigError(f"{where}, reason: write a text")
    return Remark(
        id=name,
        status=Status(status),
        packages=_packages(where, table.get("packages")),
        until=_until(where, table.get("until")),
        where=where,
    )


def _packages(where: str, value: Any) -> tuple[str, ...]:
    """An empty list is refused: it reads like none, and would be all."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{where}, packages: write a list of names; for all, leave it out")
    return tuple(value)


def _until(where: str, value: Any) -> float | None:
    match value:
        case None:
            return None
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        case date():
            return datetime.combine(value, time(), UTC).timestamp()
    raise ConfigError(f"{where}, until: write a date without quotes, such as 2027-01-31")
