"""A policy applied to the records of a channel.

For each package name the policy is reduced to what can still differ between its records; most
names are decided at once, and of the others only the fields that matter are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, NamedTuple

from packaging.version import Version

from proxy.core import first_seen, here, licences, osv
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
from proxy.ecosystems.conda.paths import PLATFORMS
from proxy.ecosystems.conda.records import (
    LATEST_IN_SECONDS,
    Judgeable,
    built,
    identities,
    identity,
    pypi_projects,
    seconds,
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


LOOKBACK = 7200.0
"""Seconds before a moment for which verdicts as of it may hold, too: the views of the next moment
are made before it comes, and a new version of the index may come in between.
"""


class Term(NamedTuple):
    """From when and until when verdicts on some records are the same, as far as only time goes by
    (seconds since the epoch), and what stands for a file that was first seen with this generation.
    """

    since: float
    until: float
    newest: bytes | None


ALWAYS = Term(-math.inf, math.inf, None)


def _suspects_of(test: Callable[[Any], Truth], records: Sequence[Any]) -> Iterable[int]:
    """The places of those *records* for which *test* may not be False."""
    return test.suspects(records) if isinstance(test, Screened) else range(len(records))


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
        self._delays = self._telling.ages.delays
        self._expires = any(rule.expires for rule in (*policy.overrides, *policy.rules))
        self._minds_kinds = any(isinstance(leaf, Kinds) for leaf in policy.leaves)
        self._moment = context.moment
        self._subdir = index.path.rpartition("/")[0].rpartition("/")[2]
        self._advisories = context.advisories
        self._closure = body.closure
        self._here = here.read(context.here or b"")
        self._seen: Mapping[bytes, float] = first_seen.read(body.first_seen)
        self._seen_at = context.seen_at
        self._judges: dict[tuple[str, str | tuple[bool, ...], float], JudgeOfName] = {}
        self._patterns = [
            _lower(leaf.patterns) for leaf in policy.leaves if isinstance(leaf, Names)
        ]
        self._specs_of_names = [
            Spec.of(text)
            for leaf in policy.leaves
            if isinstance(leaf, Specs) and not leaf.dependencies
            for text in leaf.texts
        ]
        self._ages: dict[YoungerThan | OlderThan, Callable[[Judgeable], Truth]] = {}
        self._looked_at: tuple[Judgeable | None, int, Iterable[int]] = None, 0, ()
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
        key = kind if self._minds_kinds else "", self._sort(name), moment
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
        if any(spec.is_for(name) for spec in self._specs_of_names):
            return name
        return tuple([is_like(name.lower(), patterns) for patterns in self._patterns])

    def _said_to_be_younger_than(self, cutoff: float) -> Callable[[Judgeable], Truth]:
        """The same of a first generation; times are compared as they are written."""
        published = self.published
        # A builder's date is taken in whole seconds, see `published`.
        milliseconds = 1000 * (math.floor(cutoff) + 1) - 1

        def test(record: Judgeable) -> Truth:
            at = record.timestamp
            if record.indexed_timestamp is None and type(at) is int and at > LATEST_IN_SECONDS:
                return at > milliseconds
            return published(record) > cutoff

        def suspects(records: Sequence[Judgeable]) -> Iterable[int]:
            indexed = list(map(_indexed, records))
            times = list(map(_built, records))
            if indexed.count(None) == len(indexed) and _are_between(
                LATEST_IN_SECONDS, times, milliseconds
            ):
                return ()
            # What has two times, or none that is plain, is tested by itself.
            return [
                at
                for at, time in enumerate(times)
                if indexed[at] is not None
                or type(time) is not int
                or not LATEST_IN_SECONDS < time <= milliseconds
            ]

        return Screened(test, suspects)

    def hides_all(self, name: str) -> bool:
        """Whether every file of that package name is hidden, whatever its record says."""
        return all(
            self._compiler.hides_all(partial(self._leaf, kind, name, self._moment))
            for kind in KINDS
        )

    def published(self, record: Judgeable) -> float:
        """When the channel's server, or else this proxy, first had the file (CEP 47).

        In the first generation that came here everything is as old as its builder says, in whole
        seconds, as the table has it that the next one is judged by.
        """
        indexed = seconds(record.indexed_timestamp)
        if indexed is not None:
            return indexed
        if not self._seen:
            return math.floor(min(built(record), self._seen_at))
        return self._seen.get(identity(record), self._seen_at)

    def term(self, records: Sequence[Judgeable]) -> Term:
        """For how long the verdicts on *records* hold."""
        if not self._delays:
            return ALWAYS
        start = self._moment - LOOKBACK
        before: list[float] = []
        after: list[float] = []
        newest = None
        for place in self._recent(records):
            record = records[place]
            published = math.floor(self.published(record))
            for turn in [published + delay for delay in self._delays]:
                # Tables have whole seconds: what turns in this one has turned or not.
                if turn > self._moment - 1:
                    after.append(turn)
                if start < turn + 1 and turn <= self._moment:
                    before.append(turn + 1)
            if newest is None and seconds(record.indexed_timestamp) is None:
                file = identity(record)
                newest = None if file in self._seen else file
        return Term(max(before, default=start), min(after, default=math.inf), newest)

    def _recent(self, records: Sequence[Judgeable]) -> Iterable[int]:
        """The places of those that may have come of age since the moment that is looked back to."""
        if not records:
            return ()
        first, count, found = self._looked_at
        if records[0] is not first or len(records) != count:  # who judges asks, and who notes
            found = _suspects_of(self._latest, records)
            self._looked_at = records[0], len(records), found
        return found

    @cached_property
    def _latest(self) -> Callable[[Judgeable], Truth]:
        return self._younger_than(self._moment - self._delays[-1] - LOOKBACK - 1)

    def _age(self, leaf: YoungerThan | OlderThan) -> Callable[[Judgeable], Truth]:
        test = self._ages.get(leaf)
        if test is None:
            younger = self._younger_than(self._moment - leaf.seconds)
            older = by_age(leaf, self._moment, self.published)
            test = self._ages[leaf] = (
                Screened(younger, partial(self._younger, younger))
                if isinstance(leaf, YoungerThan)
                else older
            )
        return test

    def _younger(
        self, test: Callable[[Judgeable], Truth], records: Sequence[Judgeable]
    ) -> Iterable[int]:
        """The places of those for which *test*, of one of the policy's ages, may not be False."""
        return _suspects_of(test, records) if self._recent(records) else ()

    def _younger_than(self, cutoff: float) -> Callable[[Judgeable], Truth]:
        """The test of most cool-downs, on 600,000 records: a look into a set."""
        if self._seen_at <= cutoff:
            return Screened(lambda record: self.published(record) > cutoff, _with_a_date)
        if not self._seen:
            return self._said_to_be_younger_than(cutoff)
        seen, limit = self._seen, math.floor(cutoff) + 1
        # Nearly always all of it is.
        old = seen if max(seen.values()) < limit else first_seen.before(seen, limit)

        def test(record: Judgeable) -> Truth:
            if record.indexed_timestamp is not None:
                indexed = seconds(record.indexed_timestamp)
                if indexed is not None:
                    return indexed > cutoff
            return identity(record) not in old

        def suspects(records: Sequence[Judgeable]) -> Iterable[int]:
            known = identities([one.sha256 for one in records])
            if known is None:
                return range(len(records))
            return [
                at
                for at, (one, file) in enumerate(zip(records, known, strict=True))
                if file not in old or one.indexed_timestamp is not None
            ]

        return Screened(test, suspects)

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
                return self._age(leaf)
            case LargerThan() | SmallerThan():
                return by_size(leaf, attrgetter("size"))
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
    said = attrgetter("license", "license_family")

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
            keys = list(map(said, records))
            if no.issuperset(keys):
                return ()
            no.update(key for key in keys if known.get(key) is False)
            return [at for at, key in enumerate(keys) if key not in no]
        except TypeError:
            return range(len(records))

    return Screened(test, suspects)


def _with_a_date(records: Sequence[Judgeable]) -> Iterable[int]:
    return [at for at, one in enumerate(records) if one.indexed_timestamp is not None]


_indexed = attrgetter("indexed_timestamp")
_built = attrgetter("timestamp")


def _are_between(low: float, times: Sequence[Any], high: float) -> bool:
    try:
        return bool(low < min(times) and max(times) <= high)
    except TypeError:  # one that is no number
        return False


def _lower(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(one.lower() for one in patterns)


def _has_build(patterns: Sequence[str], record: Judgeable) -> Truth:
    build = record.build
    return is_like(build, patterns) if isinstance(build, str) else None
