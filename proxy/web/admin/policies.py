"""Policies over the API: read, checked, explained, compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from prometheus_client import Metric

from proxy.config.fitting import check_fits, fit
from proxy.config.policies import NONE, listing_as, read_text
from proxy.core.model import Mirror
from proxy.core.policy import Policy
from proxy.core.policy_text import summary
from proxy.errors import ConfigError, ProxyError, UnknownMirror
from proxy.gateway.explaining import Compared, Question, as_row, difference
from proxy.web.admin.operations import ROOT, Call, Operation
from proxy.web.paths import Mirrors

Ask = Callable[[Question], Awaitable[list[Compared]]]

Name = Annotated[str, msgspec.Meta(min_length=1)]


class UnknownPolicy(ProxyError):
    """No policy of that name is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hides:
    """So many files of a mirror's indexes are left out by a rule."""

    mirror: str
    rule: str
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """A policy in words, the mirrors that it holds for, and what it hides there."""

    name: str
    summary: tuple[str, ...]
    rules: tuple[str, ...]
    mirrors: tuple[str, ...]
    hides: tuple[Hides, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A policy file's text, and the name that it will have."""

    text: str
    name: str = "draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a policy says in words, which types of mirrors it fits, and why not others.

    `warnings`: what of it is likely to be a mistake.
    """

    summary: tuple[str, ...]
    fits: tuple[str, ...]
    problems: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A package of a mirror (`<type>/<name>`); in its name `*` and `?` stand for others."""

    mirror: Name
    package: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file and the verdict on it.

    `published` and `until`: since when it is known, and until when it is hidden, or warned of, for
    its age.
    `before`: the verdict of the old policy, in a comparison.
    """

    index: str
    filename: str
    name: str
    version: str
    published: str | None
    effect: str
    rule: str
    reason: str
    until: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The verdicts on a package's files, in the indexes that are here."""

    mirror: str
    package: str
    policy: str | None
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Two policies to compare for a mirror: by name, or (`text`) the new one as a file's text.

    `old` None: the one that holds now; `none` is the name of no policy.
    """

    mirror: Name
    old: str | None = None
    new: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What the new policy would hide and bring back, by rule; the files that it concerns."""

    hidden: Mapping[str, int]
    brought_back: Mapping[str, int]
    files: tuple[File, ...]


class PolicyDesk:
    """Answers for the policies of a running server."""

    def __init__(
        self,
        *,
        policies: Callable[[], Mapping[str, Policy]],
        mirrors: Callable[[], Mirrors],
        ask: Ask,
        families: Callable[[], Iterable[Metric]],
        advised: Callable[[], bool],
    ) -> None:
        """*families*: the metrics; *advised*: it is known where advisories are."""
        self._policies = policies
        self._advised = advised
        self._mirrors = mirrors
        self._ask = ask
        self._families = families

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        unknown = {404: "There is no such mirror or policy."}
        return (
            Operation(
                method="GET",
                path=f"{ROOT}/policies",
                name="policies",
                summary="All policies, in words, with what they hide now.",
                answer=list[PolicyView],
                run=self._list,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/policies/{{name}}",
                name="policy",
                summary="One policy.",
                answer=PolicyView,
                run=self._show,
                fails=unknown,
            ),
            Operation(
                method="POST",
                path=f"{ROOT}/policy/check",
                name="check_policy",
                summary="Check the text of a policy file.",
                body=Draft,
                answer=Checked,
                run=self._check,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/policy/explain",
                name="explain",
                summary="Why each file of a package can or cannot be had.",
                query=About,
                answer=Explained,
                run=self._explain,
                fails={**unknown, 502: "An index that is here cannot be read."},
            ),
            Operation(
                method="POST",
                path=f"{ROOT}/policy/diff",
                name="compare_policies",
                summary="What a change of policy would hide and bring back.",
                body=Change,
                answer=Changed,
                run=self._diff,
                fails={**unknown, 502: "An index that is here cannot be read."},
            ),
        )

    def views(self) -> list[PolicyView]:
        """All policies, by name."""
        hidden = list(self._hidden())
        return [self._view(policy, hidden) for _, policy in sorted(self._policies().items())]

    async def explain(self, about: About) -> Explained:
        """Raises UnknownMirror, BadIndex, StorageError."""
        mirror = self._mirror(about.mirror)
        policy = mirror.policy
        question = Question(mirror=mirror, policies=(policy,), package=about.package)
        found = await self._ask(question)
        return Explained(
            mirror=mirror.key,
            package=about.package,
            policy=None if policy is None else policy.name,
            files=tuple(File(**as_row(one)) for one in found),
        )

    async def _list(self, call: Call) -> list[PolicyView]:
        return self.views()

    async def _show(self, call: Call) -> PolicyView:
        return self._view(self._named(call.path["name"]), list(self._hidden()))

    async def _check(self, call: Call) -> Checked:
        policy = read_text(call.body.name, call.body.text)
        found = fit(policy)
        return Checked(
            summary=tuple(summary(policy)),
            fits=found.types,
            problems=found.problems,
            warnings=found.doubts,
        )

    async def _explain(self, call: Call) -> Explained:
        return await self.explain(call.query)

    async def _diff(self, call: Call) -> Changed:
        return await self.compare(call.body)

    async def compare(self, change: Change) -> Changed:
        """Raises UnknownMirror, UnknownPolicy, ConfigError, BadIndex, StorageError."""
        mirror = self._mirror(change.mirror)
        if (change.new is None) == (change.text is None):
            raise ConfigError("write one of new (a policy's name) and text (a policy file)")
        own = mirror.policy
        old = own if change.old is None else listing_as(self._named(change.old), own)
        new = self._named(change.new) if change.text is None else read_text("draft", change.text)
        advised = self._advised()
        for policy in (old, new):
            if policy is not None:
                check_fits(policy, mirror.type, advised=advised)
        policies = old, listing_as(new, own)
        question = Question(mirror=mirror, policies=policies, changed=True)
        found = difference(await self._ask(question))
        return Changed(
            hidden=dict(found.hidden),
            brought_back=dict(found.brought_back),
            files=tuple(File(**as_row(one)) for one in found.files),
        )

    def _named(self, name: str | None) -> Policy:
        if name == NONE:
            return Policy(name=NONE)
        found = self._policies().get(name or "")
        if found is None:
            known = ", ".join(sorted(self._policies())) or "none"
            raise UnknownPolicy(f"there is no policy {name!r}; known are: {known}")
        return found

    def _mirror(self, key: str) -> Mirror:
        found = self._mirrors().get(key)
        if found is None:
            raise UnknownMirror(f"there is no mirror {key!r}; write it as <type>/<name>")
        return found

    def _view(self, policy: Policy, hidden: list[Hides]) -> PolicyView:
        mirrors = tuple(
            mirror.key
            for mirror in self._mirrors()
            if mirror.policy is not None and mirror.policy.name == policy.name
        )
        return PolicyView(
            name=policy.name,
            summary=tuple(summary(policy)),
            rules=tuple(rule.name for rule in policy.in_order),
            mirrors=mirrors,
            hides=tuple(one for one in hidden if one.mirror in mirrors),
        )

    def _hidden(self) -> Iterable[Hides]:
        for family in self._families():
            for sample in family.samples:
                if sample.name == "pkgproxy_policy_hidden_files" and sample.value:
                    labels: Mapping[str, Any] = sample.labels
                    yield Hides(
                        mirror=labels["mirror"], rule=labels["rule"], files=int(sample.value)
                    )
