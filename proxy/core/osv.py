"""OSV records (OSV schema 1.x), read as far as packages are judged by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from proxy.core.advisories import Advisories, Advisory, Range

ECOSYSTEMS = frozenset({"PyPI", "CRAN", "Bioconductor"})
"""OSV's names of those whose advisories are kept; a dump of all has ten times as many others."""

_KINDS = ("introduced", "fixed", "last_affected", "limit")
_WORDS = {"LOW": 3.9, "MODERATE": 6.9, "MEDIUM": 6.9, "HIGH": 8.9, "CRITICAL": 10.0}
"""What a word stands for where there is no vector: the highest score of its band."""


_BASE = frozenset(("AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"))
"""CVSS v4's base metrics: of v4 the library knows only the score of all metrics together."""


# What OSV's schema lets be an array may be null as well, and null is as good as nothing elsewhere.


class _Package(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class _Range(msgspec.Struct):
    type: str = ""
    events: list[dict[str, str]] | None = None


class _Severity(msgspec.Struct):
    type: str = ""
    score: str = ""


class _Affected(msgspec.Struct):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Severity] | None = None


class _Record(msgspec.Struct):
    id: str
    modified: str | None = None
    summary: str | None = None
    aliases: list[str] | None = None
    withdrawn: str | None = None
    severity: list[_Severity] | None = None
    affected: list[_Affected] | None = None
    database_specific: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One OSV record. `modified` sorts like the time that it says.

    `found` has for each package OSV's ecosystem, the name there and the advisory; nothing if the
    record was withdrawn.
    """

    id: str
    modified: str = ""
    found: tuple[tuple[str, str, Advisory], ...] = ()


_decode = msgspec.json.Decoder(_Record).decode


def read(body: bytes) -> Record:
    """One record. Raises ValueError, naming the field, where *body* is no OSV record."""
    try:
        record = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"is no OSV record: {error}") from error
    return Record(
        id=record.id,
        # UTC with a Z at the end; without it a fraction of a second sorts behind none.
        modified=(record.modified or "").removesuffix("Z"),
        found=() if record.withdrawn else tuple(_found(record)),
    )


def gathered(records: Iterable[Record]) -> dict[str, Advisories]:
    """What was read, by ecosystem; of several with one id the last modified holds, as OSV says."""
    latest: dict[str, Record] = {}
    for record in records:
        known = latest.get(record.id)
        if known is None or record.modified > known.modified:
            latest[record.id] = record
    tables: dict[str, dict[str, list[Advisory]]] = {}
    for record in latest.values():
        for ecosystem, name, advisory in record.found:
            tables.setdefault(ecosystem, {}).setdefault(name, []).append(advisory)
    return {
        ecosystem: Advisories(by_name={name: tuple(some) for name, some in table.items()})
        for ecosystem, table in tables.items()
    }


def normalised(ecosystem: str, name: str) -> str:
    """A package's name as its ecosystem compares names."""
    return canonicalize_name(name) if ecosystem == "PyPI" else name


def version(ecosystem: str, text: str) -> str:
    """A version in the one spelling that it has there."""
    if ecosystem != "PyPI":
        return text
    try:
        return str(Version(text))
    except InvalidVersion:
        return text


def _found(record: _Record) -> Iterator[tuple[str, str, Advisory]]:
    general = _score(record.severity)
    if general is None:
        general = _worded(record.database_specific)
    for number, affected in enumerate(record.affected or ()):
        if affected.package is None:  # about a repository, by GIT ranges alone
            continue
        ecosystem = affected.package.ecosystem.partition(":")[0]
        if not ecosystem or not affected.package.name:
            raise ValueError(
                f"is no OSV record: `$.affected[{number}].package` lacks its ecosystem or its name"
            )
        if ecosystem in ECOSYSTEMS:
            name = normalised(ecosystem, affected.package.name)
            yield ecosystem, name, _advisory(record, affected, ecosystem, general)


def _advisory(
    record: _Record, affected: _Affected, ecosystem: str, general: float | None
) -> Advisory:
    ranges = tuple(
        Range(tuple(_events(one)))
        for one in affected.ranges or ()
        if one.type in ("ECOSYSTEM", "SEMVER")
    )
    listed = frozenset(_listed(ecosystem, one) for one in affected.versions or ())
    own = _score(affected.severity)
    return Advisory(
        id=record.id,
        aliases=tuple(record.aliases or ()),
        summary=" ".join((record.summary or "").split()),
        score=general if own is None else own,
        malicious=record.id.startswith("MAL-"),
        versions=listed,
        ranges=ranges,
        everything=not listed and not ranges,
    )


@lru_cache(maxsize=65536)
def _listed(ecosystem: str, text: str) -> str:
    """A listed version in the spelling that equal ones share: PEP 440 has 1.0 and 1.0.0 equal."""
    return canonicalize_version(text) if ecosystem == "PyPI" else text


def _events(one: _Range) -> Iterator[tuple[str, str]]:
    for event in one.events or ():
        for kind, at in event.items():
            if kind in _KINDS:
                yield kind, at


def _score(severities: list[_Severity] | None) -> float | None:
    """The highest base score of all vectors that can be read."""
    scores = [_vector(one.type, one.score) for one in severities or ()]
    return max((one for one in scores if one is not None), default=None)


@lru_cache(maxsize=4096)
def _vector(kind: str, text: str) -> float | None:
    import cvss  # noqa: PLC0415 - for those with advisories
    from cvss.exceptions import CVSSError  # noqa: PLC0415

    makers: Mapping[str, Any] = {
        "CVSS_V2": cvss.CVSS2,
        "CVSS_V3": cvss.CVSS3,
        "CVSS_V4": cvss.CVSS4,
    }
    if kind not in makers:
        return None
    if kind == "CVSS_V4":
        text = "/".join(one for one in text.split("/") if one.partition(":")[0] in {"CVSS", *_BASE})
    try:
        found = makers[kind](text)
    except CVSSError:
        return None
    return float(found.scores()[0] if kind != "CVSS_V4" else found.base_score)


def _worded(specific: object) -> float | None:
    word = specific.get("severity") if isinstance(specific, dict) else None
    return _WORDS.get(word.upper()) if isinstance(word, str) else None
