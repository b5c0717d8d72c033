"""What the verdict on one file says besides its rule's reason, which is for all its files: the
vulnerabilities that it rests on, and until when it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from proxy.core.advisories import Advisory, Order
from proxy.core.ages import Ages
from proxy.core.conditions import Subject, is_meant
from proxy.core.policy import Malicious, Policy, Verdict, Vulnerable, leaves

R = TypeVar("R")

NAMED = 3
"""Vulnerabilities that are named; more would not fit into a status line."""

Minding = Mapping[str, tuple[Vulnerable | Malicious, ...]]
"""The conditions on vulnerabilities in a policy's rules, by the rule's name."""


class Telling(Generic[R]):
    """Completes verdicts of one policy as of one moment (seconds since the epoch)."""

    def __init__(
        self,
        policy: Policy,
        moment: float,
        *,
        order: Order,
        subject: Callable[[R], Subject],
        published: Callable[[R], float],
    ) -> None:
        """*subject* and *published* (in seconds since the epoch) are what is known of a record."""
        self.ages = Ages(policy, moment)
        self._minding = _minding(policy)
        self._order = order
        self._subject = subject
        self._published = published

    def names_what(self, verdict: Verdict) -> bool:
        """Whether *verdict* may rest on vulnerabilities, which are named."""
        return verdict.rule in self._minding

    def told(
        self, verdict: Verdict, record: R, as_of: Callable[[float, R], Verdict] | None
    ) -> Verdict:
        """*verdict* on *record*, complete; *as_of* judges it as of a later moment; None: it would
        be the same.
        """
        if verdict.rule in self._minding:
            minding, subject = self._minding[verdict.rule], self._subject(record)
            verdict = _named(verdict, minding, subject, self._order)
        if as_of is not None and self.ages.may_yield(verdict):
            end = self.ages.end(verdict, self._published(record), lambda then: as_of(then, record))
            verdict = verdict if end is None else replace(verdict, until=end)
        return verdict


def _minding(policy: Policy) -> Minding:
    """The rules of *policy* that look at vulnerabilities."""
    found: dict[str, tuple[Vulnerable | Malicious, ...]] = {}
    for rule in policy.in_order:
        asking = [one for one in leaves(rule.condition) if isinstance(one, Vulnerable | Malicious)]
        if asking:
            found[rule.name] = (*found.get(rule.name, ()), *asking)
    return found


def _named(
    verdict: Verdict,
    minding: tuple[Vulnerable | Malicious, ...],
    subject: Subject,
    order: Order,
) -> Verdict:
    """*verdict* on a file, naming the vulnerabilities for which its rule, which looks at those of
    *minding*, holds, the worst first.
    """
    advisories, version = subject
    if version is None:
        return verdict
    found = [
        one
        for one in advisories
        if any(is_meant(leaf, one) for leaf in minding) and one.affects(version, order)
    ]
    if not found:
        return verdict
    names = list(dict.fromkeys(map(_name, sorted(found, key=_weight))))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return replace(verdict, reason=remarked(verdict.reason, f"{', '.join(names[:NAMED])}{more}"))


def refused_until(reason: str, until: int | None) -> str:
    """*reason* for people who are refused, with the moment from which on they will not be."""
    return reason if until is None else remarked(reason, f"allowed from {_minute(until)}")


def refused_first(reason: str, files: int, until: int | None) -> str:
    """*reason* for people who are refused so many *files*, with the moment from which on they will
    not be refused the first of them.
    """
    if until is None or files == 1:
        return refused_until(reason, until)
    return remarked(reason, f"the first of them allowed from {_minute(until)}")


def sooner(one: int | None, other: int | None) -> int | None:
    """The first of two ends; None: it has none, or none that is known."""
    known = [it for it in (one, other) if it is not None]
    return min(known, default=None)


def warned_until(reason: str, until: int | None) -> str:
    """*reason* for people who are warned, with the moment from which on they will not be."""
    return reason if until is None else remarked(reason, f"until {_minute(until)}")


def told(verdict: Verdict) -> str:
    """The reason of *verdict*, with its end, as whoever asks for the file hears it."""
    until = refused_until if verdict.hides else warned_until
    return until(verdict.reason, verdict.until)


def remarked(reason: str, remark: str) -> str:
    """*reason* with something said of one file, in brackets before its full stop."""
    end = "." if reason.endswith(".") else ""
    return f"{reason.removesuffix('.')} ({remark}){end}"


def _minute(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _name(advisory: Advisory) -> str:
    """What people know it by: the same vulnerability has a record in several databases."""
    if advisory.malicious:
        return advisory.id
    names = (advisory.id, *advisory.aliases)
    return next((one for one in names if one.startswith("CVE-")), advisory.id)


def _weight(advisory: Advisory) -> tuple[float, str]:
    return -(10.0 if advisory.score is None else advisory.score), advisory.id
