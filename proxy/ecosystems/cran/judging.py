"""A policy applied to the files of a repository: those of PACKAGES, and those in the archive.

Of an archived file nothing but its name, version, size and date is known: what a rule wants to
know besides is unknown, so that the rule then refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from proxy.core import first_seen, here, licences
from proxy.core.conditions import Subject, any_of, by_advisories, by_age, by_size, is_like, unlike
from proxy.core.judging import Node, Truth
from proxy.core.licences import LicenceSet
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
from proxy.core.r_agent import chooses_by_agent
from proxy.core.telling import Telling
from proxy.core.verdicts import Verdicts
from proxy.ecosystems import kept
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.cran import paths
from proxy.ecosystems.cran.versions import Spec, order

KINDS = ("source", "binary")
"""The kinds of files in a repository."""


class Candidate:
    """A file, as far as policies look at it; what is not known is None."""

    name: str
    version: str
    filename: str
    listed = True  # in PACKAGES, so that it is known what is not said

    @property
    def licence(self) -> str | None:
        return None

    @property
    def needs_compilation(self) -> bool | None:
        return None

    @property
    def size(self) -> int | None:
        return None

    @property
    def dated(self) -> float | None:
        """When the server got it, by its own word, in seconds since the epoch."""
        return None

    @property
    def said(self) -> float:
        """When its maker says that it was made; 0: nothing is said."""
        return 0.0

    @property
    def hashes(self) -> Mapping[str, str]:
        """What is promised of its bytes. Raises BadIndex."""
        return {}

    @property
    def identity(self) -> bytes:
        """What stands for it in a table of first sights."""
        return first_seen.identity(self.filename)


def varies(body: Body) -> bool:
    """Whether its files are others for each R, so that no digest is right for all of them,
    whatever PACKAGES says.
    """
    return chooses_by_agent(body.url)


def wrong(leaf: Leaf) -> str | None:
    """See `Ecosystem.wrong`."""
    match leaf:
        case Tags() | Builds() | Yanked() | Statuses():
            return f"a repository's index has no {_QUALITIES[type(leaf)]}"
        case LargerThan() | SmallerThan():
            return "PACKAGES does not say how large a file is"
        case Kinds(kinds=kinds) if unknown := sorted(set(kinds) - set(KINDS)):
            return f"a repository has no {', '.join(unknown)}; write some of {', '.join(KINDS)}"
        case Licences(ids=ids, families=families):
            return licences.wrong(ids, families)
        case Specs(texts=texts):
            return next((problem for text in texts if (problem := _wrong_spec(text))), None)
        case _:
            return None


def doubtful(leaf: Leaf) -> str | None:
    """See `Ecosystem.doubtful`. What stands behind a slash is known to the repository alone."""
    if not isinstance(leaf, Platforms):
        return None
    known = ("source", "windows", "macosx", "linux")
    whole = [one for one in leaf.patterns if "/" not in one]
    heads = [one.partition("/")[0] for one in leaf.patterns if "/" in one]
    odd = unlike(whole, (*known[:-1], "linux/jammy")) or unlike(heads, known)
    return f"a repository has no platform {odd}" if odd else None


_QUALITIES: Mapping[type, str] = {
    Tags: "wheels' tags",
    Builds: "build strings",
    Yanked: "yanked packages",
    Statuses: "statuses",
}


def _wrong_spec(text: str) -> str | None:
    try:
        Spec.of(text)
    except ValueError as error:
        return str(error)
    return None


class Judging:
    """The verdicts of one context on the files of one contrib folder."""

    def __init__(self, contrib: str, body: Body, context: Context, policy: Policy) -> None:
        # The mirror's source may be such an address, and its paths then do not tell.
        place = body.url if varies(body) else contrib
        self._platform = paths.platform(place)
        self._kind = paths.kind(place)
        self._advisories = context.advisories
        self._closure = body.closure
        self._seen_table = body.first_seen
        self._seen_at = context.seen_at
        self._here = here.read(context.here or b"")
        self._varies = varies(body)
        telling = Telling(
            policy,
            context.moment,
            order=order,
            subject=self._subject,
            published=self.published,
        )
        self._verdicts = Verdicts(policy, "cran", context.moment, leaf=self._leaf, telling=telling)

    def verdict(self, one: Candidate) -> Verdict:
        """What the policy says of it."""
        return self._verdicts.on(one)

    def published(self, one: Candidate) -> float:
        """When the server, or else this proxy, first had it, in seconds since the epoch."""
        if one.dated is not None:
            return one.dated
        if not self._seen_table:
            return min(one.said, self._seen_at)
        return self._seen.get(one.identity, self._seen_at)

    @cached_property
    def _seen(self) -> Mapping[bytes, float]:
        return first_seen.read(self._seen_table)

    def _leaf(self, moment: float, leaf: Leaf, may: bool) -> Node:  # noqa: C901, FBT001, PLR0912 - see `Tester`; one line for each kind of condition
        match leaf:
            case Names(patterns=patterns):
                wanted = tuple(one.lower() for one in patterns)
                return lambda one: is_like(one.name.lower(), wanted)
            case Specs(texts=texts, dependencies=True):
                return self._kept(texts)
            case Specs(texts=texts):
                return _specs(texts)
            case Platforms(patterns=patterns):
                return is_like(self._platform, patterns)
            case Kinds(kinds=kinds):
                return None if self._kind is None else self._kind in kinds
            case Licences():
                return _licence(leaf, may)
            case NeedsCompilation(needs=needs):
                return lambda one: _is(one.needs_compilation, needs)
            case YoungerThan() | OlderThan():
                return by_age(leaf, moment, self.published)
            case LargerThan() | SmallerThan():
                return by_size(leaf)
            case Here():
                return self._is_here
            case Vulnerable() | FixesVulnerability() | Malicious():
                if self._advisories is None:
                    return None
                return by_advisories(leaf, order, self._subject)
            case _:  # the configuration refuses them for this type
                return None

    def _is_here(self, one: Candidate) -> bool:
        digests = () if self._varies else one.hashes.values()
        return here.holds(self._here, digests, one.filename.rpartition("/")[2])

    def _subject(self, one: Candidate) -> Subject:
        return () if self._advisories is None else self._advisories.of(one.name), one.version

    def _kept(self, texts: Sequence[str]) -> Node:
        """Whether a file is in the closure of a list of specs; of the archive there is none."""
        direct = _specs(texts)
        if self._closure is None:
            return lambda one: True if callable(direct) and direct(one) else None
        found = kept.read(self._closure).get(kept.key(texts))
        if found is None:
            return None
        filenames = frozenset(one.filename for one in found)
        return lambda one: one.filename in filenames


def _specs(texts: Sequence[str]) -> Node:
    by_name: dict[str, list[Spec]] = {}
    for spec in map(Spec.of, texts):
        by_name.setdefault(spec.name.lower(), []).append(spec)

    def matches(one: Candidate) -> Truth:
        specs = by_name.get(one.name.lower(), ())
        return any_of(spec.matches(one.version) for spec in specs)

    return matches


def _licence(leaf: Licences, may: bool) -> Node:  # noqa: FBT001 - see `Tester`
    """The test of one condition; a repository has few distinct licences, each is judged once."""
    wanted = LicenceSet(leaf.ids, leaf.families)
    known: dict[str | None, Truth] = {}

    def test(one: Candidate) -> Truth:
        if not one.listed:
            return None
        raw = one.licence
        if raw not in known:
            known[raw] = wanted.truth(licences.cran(raw), may=may)
        return known[raw]

    return test


def _is(known: bool | None, wanted: bool) -> Truth:  # noqa: FBT001 - a truth and a truth
    return None if known is None else known == wanted
