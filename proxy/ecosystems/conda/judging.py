"""A policy applied to the records of a channel.

For each package name the policy is reduced to what can still differ between its records; most
names are decided at once, and of the others only the fields that matter are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from packaging.version import Version

from proxy.core import here, licences, osv
from proxy.core.conditions import Subject, any_of, by_advisories, by_age, by_size, is_like, unlike
from proxy.core.judging import Compiler, Node, Screened, Stepwise, Truth
from proxy.core.licences import LicenceSet
from proxy.core.model import Index
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
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.dating import Dating, Term
from proxy.ecosystems.conda.paths import PLATFORMS
from proxy.ecosystems.conda.records import (
    Judgeable,
    identity,
    pypi_projects,
)
from proxy.ecosystems.conda.specs import Spec
from proxy.ecosystems.kept import key, read

KINDS = ("conda", "tar.bz2", "wheel")
"""The kinds of files in a channel."""

JudgeOfName = Verdict | Stepwise


def wrong(leaf: Leaf) -> str | None:
    """See `Ecosystem.wrong`."""
    match leaf:
        case Tags() | Yanked() | Statuses() | NeedsCompilation():
            return f"a channel's index does not say whether a package is {_QUALITIES[type(leaf)]}"
        case Kinds(kinds=kinds) if unknown := sorted(set(kinds) - set(KINDS)):
            return f"a channel has no {', '.join(unknown)}; write some of {', '.join(KINDS)}"
        case Licences(ids=ids, families=families):
            return licences.wrong(ids, families)
        case Specs(texts=texts):
            return next((problem for text in texts if (problem := Spec.wrong(text))), None)
        case _:
            return None


def doubtful(leaf: Leaf) -> str | None:
    """See `Ecosystem.doubtful`."""
    if isinstance(leaf, Platforms) and (odd := unlike(leaf.patterns, ("noarch", *PLATFORMS))):
        return f"conda's clients know no platform {odd}"
    return None


_QUALITIES: Mapping[type, str] = {
    Tags: "a wheel with such a tag",
    Yanked: "yanked",
    Statuses: "of a project with such a status",
    NeedsCompilation: "to be compiled",
}


class Judging:
    """The verdicts of one context on the records of one index."""

    def __init__(self, index: Index, body: Body, context: Context, policy: Policy) -> None:
        self._policy = policy
        self._compiler = Compiler(policy)
        self._telling = Telling(
            policy,
            context.moment,
            order=Version,
            subject=self._subject,
            published=self.published,
        )
        self._dating = Dating(
            context.moment, self._telling.ages.delays, body.first_seen, context.seen_at
        )
        self._expires = any(rule.expires for rule in policy.in_order)
        self._minds_kinds = any(isinstance(leaf, Kinds) for leaf in policy.leaves)
        self._moment = context.moment
        self._subdir = index.path.rpartition("/")[0].rpartition("/")[2]
        self._advisories = context.advisories
        self._closure = body.closure
        self._here = here.read(context.here or b"")
        self._judges: dict[tuple[str, str | tuple[bool, ...], float], JudgeOfName] = {}
        self._patterns = [
            _lower(leaf.patterns) for leaf in policy.leaves if isinstance(leaf, Names)
        ]
        specs = [
            Spec.of(text)
            for leaf in policy.leaves
            if isinstance(leaf, Specs) and not leaf.dependencies
            for text in leaf.texts
        ]
        self._names_in_specs = frozenset(spec.exact for spec in specs)
        self._other_specs = [spec for spec in specs if spec.exact is None]
        self._sorts: dict[str, str | tuple[bool, ...]] = {}
        self._licences: dict[tuple[Licences, bool], Callable[[Judgeable], Truth]] = {}

    def verdict(self, kind: str, record: Judgeable) -> Verdict:
        """What the policy says of *record*."""
        judge = self.of(kind, record.name)
        verdict = judge if isinstance(judge, Verdict) else judge(record)
        return self.told(kind, verdict, record, judge)

    def told(self, kind: str, verdict: Verdict, record: Judgeable, judge: JudgeOfName) -> Verdict:
        """*verdict* on *record*, of that kind, by *judge*, with what only its file is told."""
        # What is said of all files of a name does not rest on their ages.
        as_of = None if isinstance(judge, Verdict) else partial(self._as_of, kind)
        return self._telling.told(verdict, record, as_of)

    def is_complete(self, judge: JudgeOfName) -> bool:
        """Whether *judge* is the verdict, and all that each of its files is told."""
        return isinstance(judge, Verdict) and not self._telling.names_what(judge)

    def _as_of(self, kind: str, moment: float, record: Judgeable) -> Verdict:
        """What the rules that hold then will say of *record*."""
        judge = self._judge(kind, record.name, moment)
        return judge if isinstance(judge, Verdict) else judge(record)

    def of(self, kind: str, name: str) -> JudgeOfName:
        """The verdict on all files of that kind with that package name, or what gives it."""
        return self._judge(kind, name, self._moment)

    def _judge(self, kind: str, name: str, moment: float) -> JudgeOfName:
        sort = self._sorts.get(name)
        if sort is None:
            sort = self._sorts[name] = self._sort(name)
        key = kind if self._minds_kinds else "", sort, moment
        judge = self._judges.get(key)
        if judge is None:
            judge = self._rules_of(moment).judge(partial(self._leaf, kind, name, moment))
            self._judges[key] = judge
        return judge

    def _rules_of(self, moment: float) -> Compiler:
        """The rules that hold then."""
        if moment == self._moment or not self._expires:
            return self._compiler
        return Compiler(self._policy.at(moment, "conda"))

    def _sort(self, name: str) -> str | tuple[bool, ...]:
        """What is the same for all names of which the policy says the same: for nearly all."""
        lower = name.lower()
        if lower in self._names_in_specs or any(spec.is_for(name) for spec in self._other_specs):
            return name
        return tuple([is_like(lower, patterns) for patterns in self._patterns])

    def hides_all(self, name: str) -> bool:
        """Whether every file of that package name is hidden, whatever its record says."""
        return all(
            self._compiler.hides_all(partial(self._leaf, kind, name, self._moment))
            for kind in KINDS
        )

    def published(self, record: Judgeable) -> float:
        """See `Dating.published`."""
        return self._dating.published(record)

    def term(self, records: Sequence[Judgeable]) -> Term:
        """For how long the verdicts on *records* hold."""
        return self._dating.term(records)

    def _leaf(self, kind: str, name: str, moment: float, leaf: Leaf, may: bool) -> Node:  # noqa: FBT001, C901, PLR0912 - one line for each kind of condition
        match leaf:
            case Names(patterns=patterns):
                return is_like(name.lower(), _lower(patterns))
            case Platforms() if not self._subdir:  # of the channel as a whole
                return lambda _: None
            case Platforms(patterns=patterns):
                return is_like(self._subdir, patterns)
            case Kinds(kinds=kinds):
                return kind in kinds
            case Specs(texts=texts, dependencies=True):
                return self._kept(texts)
            case Specs(texts=texts):
                return self._specs(name, texts)
            case Builds(patterns=patterns):
                return partial(_has_build, patterns)
            case Licences():
                return self._licence(leaf, may)
            case YoungerThan() | OlderThan():
                if moment > self._moment:  # of few records
                    return by_age(leaf, moment, self.published)
                return self._dating.test(leaf)
            case LargerThan() | SmallerThan():
                return by_size(leaf)
            case Vulnerable() | FixesVulnerability() | Malicious():
                if self._advisories is None:
                    return None
                return by_advisories(leaf, Version, self._subject)
            case Here():
                return lambda one: here.holds(self._here, (one.sha256, one.md5))
            case _:  # the configuration refuses them for this type
                return None

    def _subject(self, record: Judgeable) -> Subject:
        """The projects at PyPI that a record says it is made of, or that its name is mapped to.

        Of several that are of different versions those count that are of the first one's of which
        something is known: a file has one version.
        """
        if self._advisories is None:
            return (), None
        mapped = self._advisories.conda_names.get(record.name)
        projects = pypi_projects(record.purls) or ({mapped: None} if mapped else {})
        about = [(self._advisories.of(one), given) for one, given in projects.items()]
        known = [(some, given or record.version) for some, given in about if some]
        if not known:
            return (), None
        text = known[0][1]
        together = tuple(one for some, given in known if given == text for one in some)
        return together, osv.version("PyPI", text) if isinstance(text, str) else None

    def _kept(self, texts: Sequence[str]) -> Node:
        """Whether a record is in the closure of a list of specs; None where there is none yet."""
        kept = self._closures.get(key(texts))
        if kept is None:
            return None
        return lambda record: identity(record) in kept

    @cached_property
    def _closures(self) -> Mapping[str, frozenset[bytes]]:
        if self._closure is None:
            return {}
        tables = read(self._closure)
        return {key: frozenset(one.identity for one in kept) for key, kept in tables.items()}

    def _specs(self, name: str, texts: Sequence[str]) -> Node:
        specs = [spec for spec in map(Spec.of, texts) if spec.is_for(name)]
        if not specs:
            return False
        if any(spec.is_name_only for spec in specs):
            return True
        subdir = self._subdir

        def matches(record: Judgeable) -> Truth:
            return any_of(spec.matches(record, subdir) for spec in specs)

        return matches

    def _licence(self, leaf: Licences, may: bool) -> Callable[[Judgeable], Truth]:  # noqa: FBT001 - see `compiled`
        test = self._licences.get((leaf, may))
        if test is None:
            test = self._licences[leaf, may] = _licence_test(leaf, may)
        return test


def _licence_test(leaf: Licences, may: bool) -> Screened:  # noqa: FBT001 - see `Tester`
    """The test of one condition; a channel has few distinct licences, each is judged once."""
    wanted = LicenceSet(leaf.ids, leaf.families)
    known: dict[tuple[Any, Any], Truth] = {}
    no: set[tuple[Any, Any]] = set()  # those of which it does not hold

    def test(record: Judgeable) -> Truth:
        key = record.license, record.license_family
        try:
            return known[key]
        except KeyError:
            pass
        except TypeError:  # a list: not a licence
            return None
        raw, named = (one if isinstance(one, str) else None for one in key)
        truth = known[key] = wanted.truth(licences.read(raw, named), may=may)
        return truth

    def suspects(records: Sequence[Judgeable]) -> Iterable[int]:
        try:
            keys = [(one.license, one.license_family) for one in records]
            if no.issuperset(keys):
                return ()
            no.update(key for key in keys if known.get(key) is False)
            return [at for at, key in enumerate(keys) if key not in no]
        except TypeError:
            return range(len(records))

    return Screened(test, suspects)


def _lower(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(one.lower() for one in patterns)


def _has_build(patterns: Sequence[str], record: Judgeable) -> Truth:
    build = record.build
    return is_like(build, patterns) if isinstance(build, str) else None
