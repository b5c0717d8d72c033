"""MatchSpecs (CEP 29) on records, as py-rattler reads and compares them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from proxy.ecosystems.conda.records import Judgeable

if TYPE_CHECKING:  # 40 ms that nobody without such a rule needs
    from rattler import MatchSpec, PackageRecord

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETED = re.compile(r"[\[,]\s*([a-z0-9_]+)=")
_COMPARED = frozenset({"version", "build", "build_number", "subdir", "md5", "sha256"})
_INSTEAD = {
    "license": "write licences",
    "license_family": "write licence_families",
    "fn": "write its name, version and build, or its sha256",
    "url": "write its name, version and build, or its sha256",
}
"""What to write in place of keys that are not compared."""


class Candidate:
    """A record as py-rattler has it; `package` is None where it cannot be read as one."""

    def __init__(self, record: Judgeable, subdir: str) -> None:
        self._record = record
        self.subdir = subdir

    @cached_property
    def package(self) -> PackageRecord | None:
        try:
            return _package_record(self._record, self.subdir)
        except _unreadable():
            return None


@dataclass(frozen=True, slots=True)
class Spec:
    """A MatchSpec; its name may be a pattern, or a regular expression in `^…$`."""

    spec: MatchSpec
    exact: str | None  # the name, where it is no pattern
    is_name_only: bool
    subdir: str | None = None

    @classmethod
    def of(cls, text: str) -> Spec:
        """Read *text*. Raises ValueError where it is no MatchSpec."""
        return _read(text)

    @classmethod
    def wrong(cls, text: str) -> str | None:
        """What is wrong about *text* as a MatchSpec."""
        try:
            spec = cls.of(text).spec
        except ValueError as error:
            return str(error)
        if spec.channel is not None:
            return f"{text!r} names a channel; a rule is for the mirrors that its policy is for"
        # What no record tells, or is not compared by `matches`, would hold of any.
        for key in _BRACKETED.findall(_QUOTED.sub("", str(spec))):
            if key not in _COMPARED:
                instead = _INSTEAD.get(key, "leave it out")
                return f"{text!r} is not judged by its {key}; {instead}"
        return None

    def is_for(self, name: str) -> bool:
        """Whether records of that package name can match."""
        if self.exact is not None:
            return self.exact == name.lower()
        return _named(self.spec, name)

    def matches(self, record: Judgeable, subdir: str) -> bool | None:
        """Whether *record* matches; None where the record cannot be read as one."""
        return self.matches_candidate(Candidate(record, subdir))

    def matches_candidate(self, candidate: Candidate) -> bool | None:
        """The same of a record that many specs are tried on."""
        if self.subdir is not None and self.subdir != candidate.subdir:  # rattler takes any
            return False
        package = candidate.package
        return None if package is None else self.spec.matches(package)


def newest_first(versions: Iterable[str]) -> list[str]:
    """In the order of conda's versions; what is no version comes last."""
    from rattler import Version  # noqa: PLC0415 - see above
    from rattler.exceptions import InvalidVersionError  # noqa: PLC0415

    known: list[tuple[Version, str]] = []
    unknown: list[str] = []
    for text in versions:
        try:
            known.append((Version(text), text))
        except InvalidVersionError:
            unknown.append(text)
    # Of 1.0 and 1.00, which are equal, always the same one comes first.
    known.sort(key=lambda one: one[1])
    known.sort(key=lambda one: one[0], reverse=True)
    return [text for _, text in known] + sorted(unknown)


@cache
def _read(text: str) -> Spec:
    from rattler import MatchSpec  # noqa: PLC0415 - see above
    from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415

    try:
        spec = MatchSpec(text, strict=True, exact_names_only=False)
    except InvalidMatchSpecError as error:
        raise ValueError(f"{text!r} is no MatchSpec: {error}") from error
    name = spec.name
    if name is None:
        raise ValueError(f"{text!r} is no MatchSpec: it has no name; write * for any")
    exact = name.as_package_name()
    return Spec(
        spec=spec,
        exact=None if exact is None else exact.normalized,
        is_name_only=str(spec) == name.normalized,
        subdir=spec.subdir,
    )


def _named(spec: MatchSpec, name: str) -> bool:
    from rattler import MatchSpec as Read  # noqa: PLC0415 - see above

    assert spec.name is not None
    record = Judgeable(name=name, version="0", build="0")
    try:
        package = _package_record(record, "noarch")
    except _unreadable():
        return True  # no name that can be compared: its records are in doubt
    return Read(spec.name.normalized, exact_names_only=False).matches(package)


def _package_record(record: Judgeable, subdir: str) -> PackageRecord:
    from rattler import PackageRecord  # noqa: PLC0415 - see above
    from rattler.package.build_string import BuildString  # noqa: PLC0415

    number = record.build_number
    return PackageRecord(
        name=record.name,
        version=record.version,
        build=BuildString(record.build),
        build_number=number if isinstance(number, int) else 0,
        subdir=subdir,
        md5=bytes.fromhex(record.md5) if record.md5 else None,
        sha256=bytes.fromhex(record.sha256) if record.sha256 else None,
        size=record.size,
        license=record.license if isinstance(record.license, str) else None,
    )


@cache
def _unreadable() -> tuple[type[Exception], ...]:
    """What py-rattler raises for fields that are not what they should be."""
    from rattler.exceptions import InvalidPackageNameError, InvalidVersionError  # noqa: PLC0415

    wrong_types = (AttributeError, OverflowError, TypeError, ValueError)
    return (InvalidPackageNameError, InvalidVersionError, *wrong_types)
