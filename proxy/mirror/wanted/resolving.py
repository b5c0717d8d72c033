"""Python requirements resolved to files, for one target, by resolvelib.

The rules are pip's: the newest version that fits; wheels before sources; pre-releases where
nothing else fits or they are asked for; yanked ones where they are pinned. The resolver runs in a
thread of its own and asks the index, which is asynchronous, through the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from packaging.metadata import RawMetadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from resolvelib import AbstractProvider, BaseReporter, Resolver
from resolvelib.resolvers import RequirementInformation, ResolutionImpossible, ResolutionTooDeep

from proxy.core.urls import redacted
from proxy.errors import ProxyError
from proxy.mirror.wanted.offers import Offer, offers
from proxy.mirror.wanted.pypi_index import File, PypiIndex
from proxy.mirror.wanted.targets import Target
from proxy.mirror.wanted.values import Required, Requirements

_ROUNDS = 100_000
"""Steps of the resolver; real sets of hundreds of projects take a few thousand."""

_ALL = ":all:"

T = TypeVar("T")


class Unresolved(ProxyError):
    """No set of versions fits all requirements; the message says which are at odds, `projects`
    whose they are.
    """

    def __init__(self, message: str, projects: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.projects = projects


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One requirement within a resolution; `by` is who has it, for people."""

    by: str
    project: str
    extras: frozenset[str] = frozenset()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    hashes: frozenset[str] = frozenset()
    problem: str | None = None  # why nothing can satisfy it

    @classmethod
    def of(cls, requirement: Requirement, by: str, hashes: frozenset[str] = frozenset()) -> Need:
        """*requirement*, its marker aside."""
        problem = None
        if requirement.url is not None:
            problem = f"it is named by its address {redacted(requirement.url)}"
        return cls(
            by=by,
            project=canonicalize_name(requirement.name),
            extras=frozenset(canonicalize_name(extra) for extra in requirement.extras),
            specifier=requirement.specifier,
            hashes=hashes,
            problem=problem,
        )

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.project}{extras}{self.specifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version of a project, with extras of it."""

    offer: Offer
    extras: frozenset[str]

    def __str__(self) -> str:
        return f"{self.offer.project} {self.offer.version}"


Key = tuple[str, frozenset[str]]
Cause = RequirementInformation[Need, Candidate]


async def resolve(wanted: Requirements, index: PypiIndex, target: Target) -> tuple[Offer, ...]:
    """The versions that *wanted* comes to on *target*. Raises Unresolved, and what *index* does
    where that fails as a whole.
    """
    provider = _Provider(wanted, index, target, asyncio.get_running_loop())
    needs = list(_needs(wanted.required, target))
    index.expect(dict.fromkeys(need.project for need in needs))
    return await asyncio.to_thread(_resolved, provider, needs)


def _resolved(provider: _Provider, needs: list[Need]) -> tuple[Offer, ...]:
    resolver = Resolver[Need, Candidate, Key](provider, BaseReporter())
    try:
        result = resolver.resolve(needs, max_rounds=_ROUNDS)
    except ResolutionImpossible as error:
        shown = "; ".join(provider.explained(error.causes))
        projects = dict.fromkeys(one.requirement.project for one in error.causes)
        raise Unresolved(shown, tuple(projects)) from error
    except ResolutionTooDeep as error:
        raise Unresolved(f"no answer was found within {error.round_count} steps") from error
    return tuple(dict.fromkeys(candidate.offer for candidate in result.mapping.values()))


def _needs(required: Iterable[Required], target: Target) -> Iterator[Need]:
    for one in required:
        marker = one.requirement.marker
        if marker is None or marker.evaluate({**target.environment, "extra": ""}):
            yield Need.of(one.requirement, one.where, one.hashes)


class _Provider(AbstractProvider[Need, Candidate, Key]):
    """Answers the resolver's questions, in its thread."""

    def __init__(
        self,
        wanted: Requirements,
        index: PypiIndex,
        target: Target,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._wanted = wanted
        self._index = index
        self._target = target
        self._loop = loop
        self._offers: dict[tuple[str, frozenset[str]], tuple[Offer, ...]] = {}
        self._problems: dict[str, str] = {}
        self._constraints: dict[str, list[Need]] = {}
        for need in _needs(wanted.constraints, target):
            self._constraints.setdefault(need.project, []).append(need)

    # -- what resolvelib asks ------------------------------------------------------------

    def identify(self, requirement_or_candidate: Need | Candidate) -> Key:
        match requirement_or_candidate:
            case Need() as need:
                return need.project, need.extras
            case Candidate() as candidate:
                return candidate.offer.project, candidate.extras

    def get_preference(
        self,
        identifier: Key,
        resolutions: Mapping[Key, Candidate],
        candidates: Mapping[Key, Iterator[Candidate]],
        information: Mapping[Key, Iterator[Cause]],
        backtrack_causes: Sequence[Cause],
    ) -> tuple[bool, bool, str, int]:
        """Who is at odds first, then who is pinned; by name, so that runs are alike."""
        project, extras = identifier
        at_odds = any(cause.requirement.project == project for cause in backtrack_causes)
        pinned = any(_pins(cause.requirement.specifier) for cause in information[identifier])
        return not at_odds, not pinned, project, len(extras)

    def find_matches(
        self,
        identifier: Key,
        requirements: Mapping[Key, Iterator[Need]],
        incompatibilities: Mapping[Key, Iterator[Candidate]],
    ) -> list[Candidate]:
        project, extras = identifier
        needs = [*requirements[identifier], *self._constraints.get(project, ())]
        if any(need.problem is not None for need in needs):
            return []
        bad = {candidate.offer.version for candidate in incompatibilities[identifier]}
        fitting = {
            offer.version: offer
            for offer in self._offered(project, _hashes(needs))
            if offer.version not in bad and (not offer.yanked or _pinned(needs))
        }
        specifier = SpecifierSet()
        for need in needs:
            specifier &= need.specifier
        prereleases = True if self._wanted.prereleases else None
        versions = specifier.filter(fitting, prereleases=prereleases)
        return [Candidate(offer=fitting[version], extras=extras) for version in versions]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        if requirement.problem is not None:
            return False
        return requirement.specifier.contains(candidate.offer.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> list[Need]:
        offer = candidate.offer
        try:
            raw = self._wait(self._index.metadata(offer.files[0]))
        except ProxyError as error:
            return [_impossible(candidate, str(error))]
        needs = list(self._required(candidate, raw))
        if candidate.extras:  # the same version without extras comes with it
            pin = SpecifierSet(f"==={offer.version}")
            same = frozenset(digest for file in offer.files for digest in file.hashes)
            by = str(candidate)
            needs.append(Need(by=by, project=offer.project, specifier=pin, hashes=same))
        projects = dict.fromkeys(need.project for need in needs if need.problem is None)
        self._loop.call_soon_threadsafe(self._index.expect, projects)
        return needs

    # -- behind it -----------------------------------------------------------------------

    def explained(self, causes: Iterable[Cause]) -> Iterator[str]:
        """What is at odds, for people."""
        shown = dict.fromkeys(cause.requirement for cause in causes)
        for need in shown:
            yield f"{need.by} needs {need}" + (f": {need.problem}" if need.problem else "")
        for project in dict.fromkeys(need.project for need in shown if need.problem is None):
            yield f"{project}: {self._problems.get(project) or self._listing(project)}"

    def _listing(self, project: str) -> str:
        found = [
            offer
            for (name, _), offers in self._offers.items()
            if name == project
            for offer in offers
        ]
        if not found:
            return f"the mirror has no file of it for {self._target}"
        versions = [str(offer.version) for offer in found[:5]]
        more = f" and {len(found) - 5} older ones" if len(found) > 5 else ""
        return f"the mirror has {', '.join(versions)}{more} for {self._target}"

    def _offered(self, project: str, hashes: frozenset[str]) -> tuple[Offer, ...]:
        key = (project, hashes)
        if key not in self._offers:
            try:
                files = self._wait(self._index.files(project))
            except ProxyError as error:
                self._problems[project] = str(error)
                files = ()
            built = self._wanted.only_wheels
            only_wheels = _ALL in built or project in {canonicalize_name(one) for one in built}
            self._offers[key] = offers(
                project, files, self._target, hashes=hashes, only_wheels=only_wheels
            )
        return self._offers[key]

    def _required(self, candidate: Candidate, raw: RawMetadata) -> Iterator[Need]:
        """What its metadata require on the target, for its extras or without any."""
        environments = [
            {**self._target.environment, "extra": extra} for extra in candidate.extras or ("",)
        ]
        for text in raw.get("requires_dist", ()):
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                yield _impossible(candidate, f"its metadata require {text!r}, which cannot be read")
                continue
            marker = requirement.marker
            if marker is None or any(marker.evaluate(one) for one in environments):
                yield Need.of(requirement, str(candidate))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _impossible(candidate: Candidate, problem: str) -> Need:
    """A need that makes the resolver look for another version."""
    return Need(by=str(candidate), project=f"{candidate} itself", problem=problem)


def _hashes(needs: Iterable[Need]) -> frozenset[str]:
    """The digests that all needs with digests allow; none: any file will do."""
    listed = [need.hashes for need in needs if need.hashes]
    if not listed:
        return frozenset()
    return frozenset.intersection(*listed) or frozenset(("at odds",))


def _pinned(needs: Iterable[Need]) -> bool:
    return any(_pins(need.specifier) for need in needs)


def _pins(specifier: SpecifierSet) -> bool:
    """Whether it names one version (PEP 592: only then may that be a yanked one)."""
    return any(
        one.operator == "===" or (one.operator == "==" and not one.version.endswith(".*"))
        for one in specifier
    )


def sources(found: Iterable[Offer]) -> Iterator[File]:
    """The files among those of *found* that have to be built."""
    for offer in found:
        yield from (file for file in offer.files if not file.is_wheel)
