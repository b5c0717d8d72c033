"""A policy applied to the files of a project's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from proxy.core import first_seen, here
from proxy.core.conditions import Subject, any_of, by_advisories, by_age, by_size, is_like
from proxy.core.judging import Node, Truth
from proxy.core.policy import (
    Builds,
    FixesVulnerability,
    Here,
    Kinds,
    LargerThan,
    Leaf,
    Licences,
    Malicious,
    Names,
    NeedsCompilation,
    OlderThan,
    Platforms,
    Policy,
    SmallerThan,
    Specs,
    Statuses,
    Tags,
    Verdict,
    Vulnerable,
    Yanked,
    YoungerThan,
)
from proxy.core.telling import Telling
from proxy.core.verdicts import Verdicts
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.pypi import names

KINDS = ("wheel", "sdist", "other")
"""The kinds of files of a project."""

STATUSES = ("active", "archived", "quarantined", "deprecated")
"""PEP 792."""

_PLATFORMS = (
    *("any", "linux_", "manylinux", "musllinux_", "macosx_", "win32", "win_", "win*"),
    *("android_", "ios_", "emscripten_", "pyodide_", "wasi"),
)
"""How platform tags begin, and patterns of them."""

_PARTS_OF_TAG = 3
"""Interpreter, ABI and platform (PEP 425)."""


def wrong(leaf: Leaf) -> str | None:
    """See `Ecosystem.wrong`."""
    match leaf:
        case Licences():
            return "a simple index does not say under which licence a project is"
        case Builds():
            return "a simple index has no build strings; write tags"
        case NeedsCompilation():
            return 'a simple index does not say what is compiled; write kinds = ["sdist"]'
        case Tags(patterns=patterns) if unlike := [one for one in patterns if not _may_be_tag(one)]:
            return f"no wheel's tag is like {unlike[0]!r}; it has three parts: cp312-abi3-win_amd64"
        case Kinds(kinds=kinds) if unknown := sorted(set(kinds) - set(KINDS)):
            return f"an index has no {', '.join(unknown)}; write some of {', '.join(KINDS)}"
        case Statuses(statuses=statuses) if unknown := sorted(set(statuses) - set(STATUSES)):
            known = ", ".join(STATUSES)
            return f"no project is {', '.join(unknown)} (PEP 792); write some of {known}"
        case Specs(texts=texts, dependencies=dependencies):
            if dependencies:
                return "a simple index does not list dependencies"
            return next((problem for text in texts if (problem := _wrong_spec(text))), None)
        case _:
            return None


def doubtful(leaf: Leaf) -> str | None:
    """See `Ecosystem.doubtful`. Of platform tags no more than the beginning is known."""
    if not isinstance(leaf, Platforms):
        return None
    odd = [one for one in leaf.patterns if not (one[:1] in "*?[" or one.startswith(_PLATFORMS))]
    known = ", ".join(_PLATFORMS)
    return (
        f"no wheel's platform tag begins like {', '.join(odd)}; known are {known}" if odd else None
    )


def _may_be_tag(pattern: str) -> bool:
    """A star may stand for hyphens, too."""
    return "*" in pattern or len(pattern.split("-")) == _PARTS_OF_TAG


def _wrong_spec(text: str) -> str | None:
    try:
        spec = Requirement(text)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        return f"{text!r} is no requirement (PEP 508), such as numpy>=1.26,<2: {problem}"
    if spec.extras or spec.url or spec.marker:
        return f"{text!r}: write a name and a version range alone, such as numpy<2"
    return None


class Candidate:
    """A file of a page, as far as policies look at it. What is malformed is not known."""

    def __init__(self, file: Mapping[str, Any], status: str) -> None:
        self.file = file
        self.filename: str = file["filename"]
        self.status = status

    @cached_property
    def kind(self) -> str:
        """See `KINDS`."""
        if self.filename.endswith(".whl"):
            return "wheel"
        return "sdist" if names.is_archive(self.filename) else "other"

    @cached_property
    def version(self) -> Version | None:
        found = names.version_of(self.filename)
        try:
            return None if found is None else Version(found)
        except InvalidVersion:
            return None

    @cached_property
    def tags(self) -> frozenset[Tag] | None:
        """Those of a wheel; of any other file none; None: it cannot be read."""
        if self.kind != "wheel":
            return frozenset()
        try:
            return parse_wheel_filename(self.filename)[3]
        except ValueError:
            return None

    @property
    def size(self) -> int | None:
        size = self.file.get("size")
        return size if type(size) is int else None

    @cached_property
    def uploaded(self) -> float | None:
        """PEP 700's `upload-time`, set by the index, in seconds since the epoch."""
        text = self.file.get("upload-time")
        if not isinstance(text, str):
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return moment.timestamp() if moment.tzinfo else None  # PEP 700: always in UTC, with a Z

    @cached_property
    def identity(self) -> bytes:
        """What stands for it in a table of first sights."""
        return identity(self.file)


def identity(file: Mapping[str, Any]) -> bytes:
    """What stands for *file* in a table of first sights: its name and what it holds."""
    digests = sorted(f"{name}={value}" for name, value in file["hashes"].items())
    return first_seen.identity(file["filename"], *digests)


class Judging:
    """The verdicts of one context on the files of one project."""

    def __init__(self, project: str, body: Body, context: Context, policy: Policy) -> None:
        self._project = project
        self._seen_table = body.first_seen
        self._seen_at = context.seen_at
        self._advisories = context.advisories
        self._here = here.read(context.here or b"")
        telling = Telling(
            policy,
            context.moment,
            order=Version,
            subject=self._subject,
            published=self.published,
        )
        self._verdicts = Verdicts(policy, "pypi", context.moment, leaf=self._leaf, telling=telling)

    def verdict(self, candidate: Candidate) -> Verdict:
        """What the policy says of it."""
        return self._verdicts.on(candidate)

    def published(self, candidate: Candidate) -> float:
        """When the index got it, or else this proxy first saw it, in seconds since the epoch."""
        if candidate.uploaded is not None:
            return candidate.uploaded
        return self._seen.get(candidate.identity, self._seen_at)

    @cached_property
    def _seen(self) -> Mapping[bytes, float]:
        return first_seen.read(self._seen_table)

    def _leaf(self, moment: float, leaf: Leaf, may: bool) -> Node:  # noqa: C901, FBT001, PLR0912 - see `Tester`; one line for each kind of condition
        match leaf:
            case Names(patterns=patterns):
                return is_like(self._project, map(_normalised, patterns))
            case Specs(texts=texts):
                return self._specs(texts)
            case Platforms(patterns=patterns):
                return lambda one: _tagged(one, patterns, lambda tag: tag.platform)
            case Tags(patterns=patterns):
                return lambda one: _tagged(one, patterns, str)
            case Kinds(kinds=kinds):
                return lambda one: one.kind in kinds
            case YoungerThan() | OlderThan():
                return by_age(leaf, moment, self.published)
            case LargerThan() | SmallerThan():
                return by_size(leaf)
            case Yanked(yanked=yanked):
                return lambda one: (one.file.get("yanked", False) is not False) == yanked
            case Statuses(statuses=statuses):
                return lambda one: one.status in statuses
            case Vulnerable() | FixesVulnerability() | Malicious():
                if self._advisories is None:
                    return None
                return by_advisories(leaf, Version, self._subject)
            case Here():
                return lambda one: here.holds(self._here, one.file["hashes"].values(), one.filename)
            case _:  # the configuration refuses them for this type
                return None

    def _subject(self, one: Candidate) -> Subject:
        known = () if self._advisories is None else self._advisories.of(self._project)
        return known, None if one.version is None else str(one.version)

    def _specs(self, texts: Sequence[str]) -> Node:
        specs = [spec for spec in map(Requirement, texts) if self._is_for(spec)]
        if not specs:
            return False
        if any(not spec.specifier for spec in specs):
            return True

        def matches(one: Candidate) -> Truth:
            version = one.version
            if version is None:
                return None
            # A pre-release is within a range that names none: it is to be judged, not resolved.
            return any_of(spec.specifier.contains(version, prereleases=True) for spec in specs)

        return matches

    def _is_for(self, spec: Requirement) -> bool:
        return canonicalize_name(spec.name) == self._project


def _normalised(pattern: str) -> str:
    """A pattern for project names in PEP 503's form."""
    return pattern.lower().replace("_", "-").replace(".", "-")


def _tagged(one: Candidate, patterns: Iterable[str], part: Any) -> Truth:
    if one.tags is None:
        return None
    return any(is_like(part(tag), patterns) for tag in one.tags)


def newest_first(versions: Iterable[str]) -> list[str]:
    """In PEP 440's order; what is no version comes last."""

    def order(text: str) -> tuple[int, Version | None, str]:
        try:
            return 1, Version(text), text
        except InvalidVersion:
            return 0, None, text

    return sorted(versions, key=order, reverse=True)
