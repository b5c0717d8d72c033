"""Python requirements resolved to files, for one target, by resolvelib.

The rules are pip's: the newest version that fits; wheels before sources; pre-releases where
nothing else fits or they are asked for; yanked ones where they are pinned. The resolver runs in a
thread of its own and asks the index, which is asynchronous, through the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from packaging.metadata import RawMetadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, Resolver
from resolvelib.resolvers import RequirementInformation, ResolutionImpossible, ResolutionTooDeep

from proxy.errors import ProxyError
from proxy.mirror.wanted.needs import Candidate, Need, hashes_of, impossible, pins
from proxy.mirror.wanted.offers import Offer, Offers
from proxy.mirror.wanted.pypi_index import PypiIndex
from proxy.mirror.wanted.targets import Target
from proxy.mirror.wanted.values import Required, Requirements

_ROUNDS = 100_000
"""Steps of the resolver; real sets of hundreds of projects take a few thousand."""

_ALL = ":all:"
_SHOWN = 5  # versions that a message names

T = TypeVar("T")


class Unresolved(ProxyError):
    """No set of versions fits all requirements; the message says which are at odds, `projects`
    whose they are.
    """

    def __init__(self, message: str, projects: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.projects = projects


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
        self._only_wheels = {_ALL} & wanted.only_wheels
        self._only_wheels |= {canonicalize_name(one) for one in wanted.only_wheels - {_ALL}}
        self._offers: dict[tuple[str, frozenset[str]], Offers] = {}
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
        pinned = any(pins(cause.requirement.specifier) for cause in information[identifier])
        return not at_odds, not pinned, project, len(extras)

    def find_matches(
        self,
        identifier: Key,
        requirements: Mapping[Key, Iterator[Need]],
        incompatibilities: Mapping[Key, Iterator[Candidate]],
    ) -> Callable[[], Iterator[Candidate]]:
        project, extras = identifier
        needs = [*requirements[identifier], *self._constraints.get(project, ())]
        bad = {candidate.offer.version for candidate in incompatibilities[identifier]}
        return lambda: (
            Candidate(offer=it, extras=extras) for it in self._fitting(project, needs, bad)
        )

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        if requirement.problem is not None:
            return False
        return requirement.specifier.contains(candidate.offer.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> list[Need]:
        offer = candidate.offer
        try:
            raw = self._wait(self._index.metadata(offer.files[0]))
        except ProxyError as error:
            return [impossible(candidate, str(error))]
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

    def _fitting(self, project: str, needs: Sequence[Need], bad: set[Version]) -> Iterator[Offer]:
        """The offers that satisfy all *needs*, the newest first.

        Pre-releases only where they are asked for, or nothing else fits (PEP 440).
        """
        if any(need.problem is not None for need in needs):
            return
        specifier = SpecifierSet()
        for need in needs:
            specifier &= need.specifier
        offers = self._offered(project, hashes_of(needs))
        versions = list(specifier.filter(offers.versions, prereleases=True))
        early = bool(self._wanted.prereleases or specifier.prereleases)
        pinned = any(pins(need.specifier) for need in needs)
        found = False
        for offer in offers.of(it for it in versions if early or not it.is_prerelease):
            if pinned or not offer.yanked:
                found = True
                if offer.version not in bad:
                    yield offer
        if not (found or early):
            for offer in offers.of(it for it in versions if it.is_prerelease):
                if offer.version not in bad and (pinned or not offer.yanked):
                    yield offer

    def explained(self, causes: Iterable[Cause]) -> Iterator[str]:
        """What is at odds, for people."""
        shown = dict.fromkeys(cause.requirement for cause in causes)
        for need in shown:
            yield f"{need.by} needs {need}" + (f": {need.problem}" if need.problem else "")
        for project in dict.fromkeys(need.project for need in shown if need.problem is None):
            yield f"{project}: {self._problems.get(project) or self._listing(project)}"

    def _listing(self, project: str) -> str:
        offers = self._offered(project, frozenset())
        found = [str(it.version) for it in itertools.islice(offers.of(offers.versions), _SHOWN)]
        if not found:
            return f"the mirror has no file of it for {self._target}"
        more = " and older ones" if len(found) == _SHOWN else ""
        return f"the mirror has {', '.join(found)}{more} for {self._target}"

    def _offered(self, project: str, hashes: frozenset[str]) -> Offers:
        key = (project, hashes)
        if key not in self._offers:
            try:
                files = self._wait(self._index.files(project))
            except ProxyError as error:
                self._problems[project] = str(error)
                files = ()
            only_wheels = bool(self._only_wheels & {_ALL, project})
            self._offers[key] = Offers(
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
                yield impossible(candidate, f"its metadata require {text!r}, which cannot be read")
                continue
            marker = requirement.marker
            if marker is None or any(marker.evaluate(one) for one in environments):
                yield Need.of(requirement, str(candidate))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
