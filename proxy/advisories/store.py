"""Advisories on disk: a folder or a zip of OSV records, as OSV publishes them, read as a whole.

OSV's public dump has `<Ecosystem>/all.zip` with one JSON file for each record; any folder with
such zips or with the records themselves will do, so that a mirror of the dump, an export or a
handful of own records can be used alike. A set that cannot be read whole is not used at all.
"""

from __future__ import annotations

import json
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from proxy.core.advisories import Advisories, Advisory, Status
from proxy.core.osv import gathered, read
from proxy.errors import ConfigError

LARGEST = 8 << 20
"""Bytes of one record that are read."""

MOST = 2 << 30
"""Bytes of all records together."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Every file with its time of change, size and inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the operator has them; `overlay` and `conda_names` may be missing."""

    path: Path
    overlay: Path | None = None
    conda_names: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What the operator says of a vulnerability: its state, for which packages, how long."""

    id: str
    status: Status
    packages: frozenset[str] = frozenset()
    until: float | None = None


def fingerprint(places: Places) -> Fingerprint:
    """Changes whenever a file does. Raises ConfigError where there is nothing."""
    found: list[tuple[str, int, int, int]] = []
    others = [one for one in (places.overlay, places.conda_names) if one is not None]
    for path in (*_files(places.path), *others):
        try:
            stat = path.stat()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


def load(places: Places, now: float) -> Mapping[str, Advisories]:
    """All advisories by OSV's ecosystem, with the operator's remarks that hold at *now*.

    Takes seconds for a full dump: not for the event loop. Raises ConfigError.
    """
    known = gathered(one for name, body in _bodies(places.path) for one in _read(name, body))
    remarks = [] if places.overlay is None else _overlay(places.overlay)
    current = [one for one in remarks if one.until is None or now < one.until]
    names = {} if places.conda_names is None else _conda_names(places.conda_names)
    known.setdefault("PyPI", Advisories())
    return {
        ecosystem: Advisories(
            by_name={
                name: tuple(_remarked(one, name, current) for one in some)
                for name, some in advisories.by_name.items()
            },
            conda_names=names if ecosystem == "PyPI" else {},
        )
        for ecosystem, advisories in known.items()
    }


def _remarked(advisory: Advisory, name: str, remarks: list[Remark]) -> Advisory:
    called = {advisory.id, *advisory.aliases}
    for remark in remarks:
        if remark.id in called and (not remark.packages or name in remark.packages):
            return replace(advisory, status=remark.status)
    return advisory


# -- records -----------------------------------------------------------------------------


def _read(name: str, body: bytes) -> Iterator[tuple[str, str, Advisory]]:
    try:
        yield from read(body)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix in (".json", ".zip"))
    if not found:
        raise ConfigError(f"{path}: there are no advisories here: no *.json and no *.zip")
    return found


def _bodies(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every record with the name to give it in messages."""
    left = MOST
    for file in _files(path):
        for name, body in _in_zip(file) if file.suffix == ".zip" else _alone(file):
            left -= len(body)
            if left < 0:
                raise ConfigError(f"{path}: there are more than {MOST} bytes of records")
            yield name, body


def _alone(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with file.open("rb") as stream:
            body = stream.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(body) > LARGEST:
        raise ConfigError(f"{file}: is larger than {LARGEST} bytes")
    yield str(file), body


def _in_zip(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".json"):
                    continue
                with archive.open(member) as stream:
                    body = stream.read(LARGEST + 1)
                if len(body) > LARGEST:
                    raise ConfigError(f"{file}: {member.filename} is larger than {LARGEST} bytes")
                yield f"{file}: {member.filename}", body
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"{file}: is no readable zip: {error}") from error


# -- what the operator adds --------------------------------------------------------------


def _overlay(path: Path) -> list[Remark]:
    """`[[advisory]]` tables: id, status, and if need be packages and until."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    tables = content.pop("advisory", [])
    if content or not isinstance(tables, list):
        raise ConfigError(f"{path}: write [[advisory]] tables and nothing else")
    return [_remark(f"{path}: advisory {number}", one) for number, one in enumerate(tables, 1)]


def _remark(where: str, table: Any) -> Remark:
    known = {"id", "status", "packages", "until", "reason"}
    if not isinstance(table, dict) or not table.keys() <= known:
        raise ConfigError(f"{where}: known are {', '.join(sorted(known))}")
    name, status = table.get("id"), table.get("status")
    states = [one.value for one in Status]
    if not isinstance(name, str) or not name:
        raise ConfigError(f'{where}, id: write the id of an advisory, such as "CVE-2024-0001"')
    if name.startswith("MAL-"):
        raise ConfigError(f"{where}, id: what is known to be malicious is always refused")
    if status not in states:
        raise ConfigError(f"{where}, status: write one of {', '.join(states)}")
    packages = table.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(one, str) for one in packages):
        raise ConfigError(f"{where}, packages: write a list of names")
    return Remark(
        id=name,
        status=Status(status),
        packages=frozenset(str(canonicalize_name(one)) for one in packages),
        until=_until(where, table.get("until")),
    )


def _until(where: str, value: Any) -> float | None:
    match value:
        case None:
            return None
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        case date():
            return datetime.combine(value, time(), UTC).timestamp()
    raise ConfigError(f"{where}, until: write a date without quotes, such as 2027-01-31")


def _conda_names(path: Path) -> dict[str, str]:
    """Names of conda packages with those that they have at PyPI; null: none."""
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(table, dict) or not all(
        one is None or isinstance(one, str) for one in table.values()
    ):
        raise ConfigError(f"{path}: write a table from conda names to names at PyPI")
    return {name: str(canonicalize_name(one)) for name, one in table.items() if one}
