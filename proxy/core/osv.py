"""OSV records (OSV schema 1.x), read as far as packages are judged by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from proxy.core.advisories import Advisories, Advisory, Range

_KINDS = ("introduced", "fixed", "last_affected", "limit")
_WORDS = {"LOW": 3.9, "MODERATE": 6.9, "MEDIUM": 6.9, "HIGH": 8.9, "CRITICAL": 10.0}
"""What a word stands for where there is no vector: the highest score of its band."""


class _Package(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class _Range(msgspec.Struct):
    type: str = ""
    events: list[dict[str, str]] = []


class _Severity(msgspec.Struct):
    type: str = ""
    score: str = ""


class _Affected(msgspec.Struct):
    package: _Package = msgspec.field(default_factory=_Package)
    ranges: list[_Range] = []
    versions: list[str] = []
    severity: list[_Severity] = []


class _Record(msgspec.Struct):
    id: str
    summary: str = ""
    aliases: list[str] = []
    withdrawn: str | None = None
    severity: list[_Severity] = []
    affected: list[_Affected] = []
    database_specific: Any = None


_decode = msgspec.json.Decoder(_Record).decode


def read(body: bytes) -> Iterator[tuple[str, str, Advisory]]:
    """Every package that a record is about: OSV's ecosystem, the name there, the advisory.

    Nothing of a record that was withdrawn. Raises ValueError where *body* is no OSV record.
    """
    try:
        record = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"is no OSV record: {error}") from error
    if record.withdrawn is not None:
        return
    general = _score(record.severity) or _worded(record.database_specific)
    for affected in record.affected:
        ecosystem = affected.package.ecosystem.partition(":")[0]
        if ecosystem and affected.package.name:
            name = normalised(ecosystem, affected.package.name)
            yield ecosystem, name, _advisory(record, affected, ecosystem, general)


def gathered(found: Iterable[tuple[str, str, Advisory]]) -> dict[str, Advisories]:
    """What was read, by ecosystem."""
    tables: dict[str, dict[str, list[Advisory]]] = {}
    for ecosystem, name, advisory in found:
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


def _advisory(
    record: _Record, affected: _Affected, ecosystem: str, general: float | None
) -> Advisory:
    ranges = tuple(
        Range(tuple(_events(one))) for one in affected.ranges if one.type in ("ECOSYSTEM", "SEMVER")
    )
    listed = frozenset(version(ecosystem, one) for one in affected.versions)
    return Advisory(
        id=record.id,
        aliases=tuple(record.aliases),
        summary=" ".join(record.summary.split()),
        score=_score(affected.severity) or general,
        malicious=record.id.startswith("MAL-"),
        versions=listed,
        ranges=ranges,
        everything=not listed and not ranges,
    )


def _events(one: _Range) -> Iterator[tuple[str, str]]:
    for event in one.events:
        for kind, at in event.items():
            if kind in _KINDS:
                yield kind, at


def _score(severities: list[_Severity]) -> float | None:
    """The highest base score of all vectors that can be read."""
    scores = [_vector(one.type, one.score) for one in severities]
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
    try:
        found = makers[kind](text)
    except CVSSError:
        return None
    return float(found.scores()[0] if kind != "CVSS_V4" else found.base_score)


def _worded(specific: object) -> float | None:
    word = specific.get("severity") if isinstance(specific, dict) else None
    return _WORDS.get(word.upper()) if isinstance(word, str) else None
