"""Advisories on disk: a folder or a zip of OSV records, as OSV publishes them, read as a whole.

OSV's public dump has `<Ecosystem>/all.zip` with one JSON file for each record, every record again
as `<Ecosystem>/<id>.json`, and `<Ecosystem>/modified_id.csv` with lines `<time>,<id>`, the newest
first, by which those that changed since can be fetched and laid beside the zip. Any folder with
such zips or with the records themselves will do. A set that cannot be read whole is not used.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import tomllib
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path

from packaging.utils import canonicalize_name

from proxy.advisories.overlay import Remark, read_overlay, remarked
from proxy.config.settings import AdvisorySettings
from proxy.core.advisories import Advisories, Advisory, Packed
from proxy.core.osv import Record, gathered, normalised, read
from proxy.errors import ConfigError

LARGEST = 8 << 20
"""Bytes of one record that are read."""

MOST = 2 << 30
"""Bytes of all records together."""

_LIKENESS = 0.8
"""Of an id to one that may be meant; difflib's ratio."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Every file with its time of change, size and inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the operator has them; `overlay` and `conda_names` may be missing."""

    path: Path
    overlay: Path | None = None
    conda_names: Path | None = None


def places_of(settings: AdvisorySettings) -> Places | None:
    """Those that are configured; None: nothing is to be known."""
    if settings.osv is None:
        return None
    return Places(path=settings.osv, overlay=settings.overlay, conda_names=settings.conda_names)


def fingerprint(places: Places) -> Fingerprint:
    """Changes whenever a file does. Raises ConfigError where one is missing, or all are.

    0.1 s for a folder of 20,000 records: not for the event loop.
    """
    others = [one for one in (places.overlay, places.conda_names) if one is not None]
    found = [*_files(places.path), *(_stated(str(one)) for one in others)]
    return tuple((path, at.st_mtime_ns, at.st_size, at.st_ino) for path, at in found)


def load(places: Places, now: float) -> Mapping[str, Advisories]:
    """All advisories by OSV's ecosystem, with the operator's remarks that hold at *now*.

    Takes 2 s and 250 MB for a dump of 20,000 records: for a process of its own. What it returns
    is cheap to hand over. Raises ConfigError.
    """
    known = gathered(_read(name, body) for name, body in bodies(places.path))
    remarks = [] if places.overlay is None else read_overlay(places.overlay, now)
    names = {} if places.conda_names is None else _conda_names(places.conda_names)
    known.setdefault("PyPI", Advisories())
    return {
        ecosystem: _ready(
            {
                name: tuple(remarked(one, ecosystem, name, remarks) for one in some)
                for name, some in advisories.by_name.items()
            },
            names if ecosystem == "PyPI" else {},
        )
        for ecosystem, advisories in known.items()
    }


def unheard(places: Places, now: float) -> Iterator[str]:
    """Which of the operator's remarks do not count at *now*: they are over, or about an id that no
    advisory has, or about packages that theirs is not about, or behind others that are about the
    same. Raises ConfigError, also where advisories are not there or other files of the operator's
    are wrong.
    """
    fingerprint(places)
    if places.conda_names is not None:
        _conda_names(places.conda_names)
    every = [] if places.overlay is None else read_overlay(places.overlay, -math.inf)
    for remark in every:
        if remark.until is not None and remark.until <= now:
            yield f"{remark.where}: ended on {_day(remark.until)}: it no longer counts"
    remarks = [one for one in every if one.until is None or now < one.until]
    if remarks:
        known = gathered(_read(*one) for one in bodies(places.path))
        yield from _misdirected(remarks, known)
        yield from _overruled(remarks, known)


def _misdirected(remarks: Sequence[Remark], known: Mapping[str, Advisories]) -> Iterator[str]:
    about: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for ecosystem, advisories in known.items():
        for name, some in advisories.by_name.items():
            for one in some:
                for id_ in (one.id, *one.aliases):
                    about[id_].add((ecosystem, name))
    for remark in remarks:
        if remark.id not in about:
            database = remark.id.partition("-")[0]
            alike = sorted(id_ for id_ in about if id_.startswith(f"{database}-"))
            near = get_close_matches(remark.id, alike, 2, _LIKENESS)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            yield f"{remark.where}: no advisory that counts is called {remark.id}{hint}"
            continue
        its = about[remark.id]
        names = ", ".join(sorted({name for _, name in its}))
        for package in remark.packages:
            if not any(normalised(ecosystem, package) == name for ecosystem, name in its):
                yield f"{remark.where}: {remark.id} is not about {package}; it is about {names}"


def _overruled(remarks: Sequence[Remark], known: Mapping[str, Advisories]) -> Iterator[str]:
    """Remarks of which the first about an advisory is another one.

    One about all packages that follows others about some is what is left besides these.
    """
    heard: set[Remark] = set()
    behind: defaultdict[tuple[Remark, Remark], set[str]] = defaultdict(set)
    for ecosystem, advisories in known.items():
        for name, some in advisories.by_name.items():
            for advisory in some:
                if advisory.malicious:
                    continue
                about = [one for one in remarks if one.is_about(advisory, ecosystem, name)]
                heard.update(about[:1])
                for later in about[1:]:
                    behind[later, about[0]].add(name)
    for (later, first), names in behind.items():
        if later.packages or later not in heard:
            outlives = first.until is not None and (later.until or math.inf) > first.until
            until = f" until {_day(first.until)}" if outlives and first.until else ""
            whom = ", ".join(sorted(names))
            says = f"{first.where} comes first, and says that {first.id} is {first.status.value}"
            yield f"{later.where}: does not count for {whom}{until}: {says}"


def _day(seconds: float) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def ending(places: Places, now: float) -> float:
    """When the first of the operator's remarks that hold at *now* is over, in seconds since the
    epoch; infinity: never. Raises ConfigError.
    """
    remarks = [] if places.overlay is None else read_overlay(places.overlay, now)
    return min((one.until for one in remarks if one.until is not None), default=math.inf)


def _ready(
    by_name: Mapping[str, tuple[Advisory, ...]], conda_names: Mapping[str, str]
) -> Advisories:
    """To be handed over, with the digest that is worked out here and not by whoever uses them."""
    found = Advisories(by_name=Packed(by_name), conda_names=conda_names)
    assert found.digest
    return found


# -- records -----------------------------------------------------------------------------


def _read(name: str, body: bytes) -> Record:
    try:
        return read(body)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error


def _files(path: Path) -> list[tuple[str, os.stat_result]]:
    """Every file with records, sorted. What cannot be looked into is not passed over."""
    if not path.is_dir():
        return [_stated(str(path))]
    try:
        names = sorted(_walk(str(path), frozenset()))
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if not names:
        raise ConfigError(f"{path}: there are no advisories here: no *.json and no *.zip")
    return [_stated(name) for name in names]


def _walk(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Files below *folder*, links to folders followed, save those back to one *above*."""
    at = Path(folder).stat()
    above |= {(at.st_dev, at.st_ino)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                inside = entry.stat()
                if (inside.st_dev, inside.st_ino) not in above:
                    yield from _walk(entry.path, above)
            elif entry.name.endswith((".json", ".zip")):
                yield entry.path


def _stated(path: str) -> tuple[str, os.stat_result]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: is no regular file")
    return path, found


def bodies(path: Path, most: int = MOST) -> Iterator[tuple[str, bytes]]:
    """Every record with the name to give it in messages.

    Raises ConfigError for what cannot be read, and where there are over *most* bytes of them.
    """
    left = most
    for file, _ in _files(path):
        for name, body in _in_zip(file) if file.endswith(".zip") else _alone(file):
            left -= len(body)
            if left < 0:
                raise ConfigError(f"{path}: there are more than {most} bytes of records")
            yield name, body


def _alone(file: str) -> Iterator[tuple[str, bytes]]:
    try:
        with Path(file).open("rb") as stream:
            body = stream.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(body) > LARGEST:
        raise ConfigError(f"{file}: is larger than {LARGEST} bytes")
    yield file, body


def _in_zip(file: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".json")]
            if not members:
                raise ConfigError(f"{file}: there are no advisories in it: no *.json")
            for member in members:
                yield f"{file}: {member.filename}", _member(archive, member)
    except _DAMAGE as error:
        raise ConfigError(f"{file}: is no readable zip: {error}") from error


_DAMAGE = (
    *(OSError, EOFError, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
"""What zipfile raises for zips that are cut off, damaged or encrypted."""


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"{member.filename} is neither stored nor deflated")
    with archive.open(member) as stream:
        body = stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        where = f"{archive.filename}: {member.filename}"
        raise ConfigError(f"{where} is larger than {LARGEST} bytes")
    return body


# -- what the operator adds --------------------------------------------------------------


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
