"""Verdicts that rest on known vulnerabilities say which: a rule's reason is for all its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from proxy.core.advisories import Advisory, Order
from proxy.core.conditions import Subject, is_meant
from proxy.core.policy import Malicious, Policy, Verdict, Vulnerable, leaves

NAMED = 3
"""Vulnerabilities that are named; more would not fit into a status line."""

Minding = Mapping[str, tuple[Vulnerable | Malicious, ...]]
"""The conditions on vulnerabilities in a policy's rules, by the rule's name."""


def minding(policy: Policy) -> Minding:
    """The rules of *policy* that look at vulnerabilities."""
    found: dict[str, tuple[Vulnerable | Malicious, ...]] = {}
    for rule in (*policy.overrides, *policy.rules):
        asking = [one for one in leaves(rule.condition) if isinstance(one, Vulnerable | Malicious)]
        if asking:
            found[rule.name] = (*found.get(rule.name, ()), *asking)
    return found


def told(verdict: Verdict, minding: Minding, subject: Subject, order: Order) -> Verdict:
    """*verdict* on a file, naming the vulnerabilities for which its rule holds, the worst first."""
    advisories, version = subject
    if version is None:
        return verdict
    found = [
        one
        for one in advisories
        if any(is_meant(leaf, one) for leaf in minding.get(verdict.rule, ()))
        and one.affects(version, order)
    ]
    if not found:
        return verdict
    names = list(dict.fromkeys(map(_name, sorted(found, key=_weight))))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    named = f"{', '.join(names[:NAMED])}{more}"
    reason = verdict.reason
    end = "." if reason.endswith(".") else ""
    return replace(verdict, reason=f"{reason.removesuffix('.')} ({named}){end}")


def _name(advisory: Advisory) -> str:
    """What people know it by: the same vulnerability has a record in several databases."""
    if advisory.malicious:
        return advisory.id
    names = (advisory.id, *advisory.aliases)
    return next((one for one in names if one.startswith("CVE-")), advisory.id)


def _weight(advisory: Advisory) -> tuple[float, str]:
    return -(10.0 if advisory.score is None else advisory.score), advisory.id
