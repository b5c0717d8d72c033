"""What a resolution is made of: needs, and the versions that may satisfy them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from proxy.core.urls import redacted
from proxy.mirror.wanted.offers import Offer


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


def impossible(candidate: Candidate, problem: str) -> Need:
    """A need that makes the resolver look for another version."""
    return Need(by=str(candidate), project=f"{candidate} itself", problem=problem)


def hashes_of(needs: Iterable[Need]) -> frozenset[str]:
    """The digests that all needs with digests allow; none: any file will do."""
    listed = [need.hashes for need in needs if need.hashes]
    if not listed:
        return frozenset()
    return frozenset.intersection(*listed) or frozenset(("at odds",))


def pins(specifier: SpecifierSet) -> bool:
    """Whether it names one version (PEP 592: only then may that be a yanked one)."""
    return any(
        one.operator == "===" or (one.operator == "==" and not one.version.endswith(".*"))
        for one in specifier
    )
