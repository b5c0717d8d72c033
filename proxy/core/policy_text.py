"""Policies in words: reasons for who is refused, and summaries for who reads or reviews one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never

from proxy.core.policy import (
    All,
    AnyOf,
    Blocked,
    Builds,
    Condition,
    Effect,
    FixesVulnerability,
    Here,
    Kinds,
    LargerThan,
    Licences,
    Malicious,
    Names,
    NeedsCompilation,
    Not,
    OlderThan,
    Platforms,
    Policy,
    Rule,
    SmallerThan,
    Specs,
    Statuses,
    Tags,
    Vulnerable,
    Yanked,
    YoungerThan,
)

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SIZES = (
    *((1 << 30, "GiB"), (10**9, "GB"), (1 << 20, "MiB"), (10**6, "MB")),
    *((1 << 10, "KiB"), (10**3, "kB"), (1, "bytes")),
)
_DOES = {Effect.ALLOW: "Allow", Effect.DENY: "Refuse", Effect.WARN: "Warn of"}
_OTHERWISE = {Effect.ALLOW: "allowed", Effect.DENY: "refused", Effect.WARN: "warned of"}


def described(condition: Condition) -> str:
    """*condition* as the end of a sentence that begins with "the file is"."""
    match condition:
        case All(of=several):
            return " and ".join(_grouped(one) for one in several) or "any file"
        case AnyOf(of=several):
            return " or ".join(_grouped(one) for one in several) or "no file"
        case Not(of=one):
            return f"not {_grouped(one)}"
        case _:
            return _leaf(condition)


def summary(policy: Policy) -> Iterator[str]:
    """*policy* as sentences, in the order in which they count."""
    if policy.description:
        yield policy.description
    for rule in policy.overrides:
        yield f"Always {_sentence(rule)}"
    for rule in policy.rules:
        sentence = _sentence(rule)
        yield sentence[0].upper() + sentence[1:]
    yield f"Whatever no rule names is {_OTHERWISE[policy.default]}."
    if policy.blocked is Blocked.REFUSE:
        yield "A project of which nothing is left is refused with status 451."


def _sentence(rule: Rule) -> str:
    text = f"{_DOES[rule.effect].lower()} what is {described(rule.condition)} (rule {rule.name}"
    if rule.types:
        text += f", for {_listed(sorted(rule.types))} mirrors"
    if rule.expires is not None:
        text += f", until {day(rule.expires)}"
    text += ")."
    return f"{text} Reason given: {rule.reason}" if rule.reason else text


def day(seconds: float) -> str:
    """The day, in UTC, of *seconds* since the epoch."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _grouped(condition: Condition) -> str:
    text = described(condition)
    several = isinstance(condition, All | AnyOf) and len(condition.of) > 1
    return f"({text})" if several else text


def _leaf(leaf: Condition) -> str:  # noqa: C901, PLR0912 - one line for each kind of condition
    match leaf:
        case Names(patterns=patterns):
            return f"named {_listed(patterns)}"
        case Specs(texts=texts, dependencies=dependencies):
            needed = ", or needed by it" if dependencies else ""
            return f"matched by {_listed(texts)}{needed}"
        case Platforms(patterns=patterns):
            return f"for {_listed(patterns)}"
        case Tags(patterns=patterns):
            return f"a wheel tagged {_listed(patterns)}"
        case Builds(patterns=patterns):
            return f"of build {_listed(patterns)}"
        case Kinds(kinds=kinds):
            return f"of kind {_listed(kinds)}"
        case Licences(ids=ids, families=families):
            shown = [*ids, *(f"the {family} family" for family in families)]
            return f"licensed under {_listed(shown)}"
        case YoungerThan(seconds=seconds):
            return f"published less than {duration(seconds)} ago"
        case OlderThan(seconds=seconds):
            return f"published more than {duration(seconds)} ago"
        case LargerThan(size=size):
            return f"larger than {amount(size)}"
        case SmallerThan(size=size):
            return f"smaller than {amount(size)}"
        case Yanked(yanked=yanked):
            return "yanked by its maintainers" if yanked else "not yanked"
        case Statuses(statuses=statuses):
            return f"of a project that is {_listed(statuses)}"
        case Vulnerable(score=score, statuses=statuses):
            known = f"with a known vulnerability ({_listed(statuses)})"
            return f"{known} scored {score:g} or higher" if score else known
        case FixesVulnerability(fixes=fixes):
            text = "a version that fixes a known vulnerability"
            return text if fixes else f"not {text}"
        case Here():
            return "stored here"
        case Malicious():
            return "known to be malicious"
        case NeedsCompilation(needs=needs):
            return "in need of compilation" if needs else "without compiled code"
        case All() | AnyOf() | Not():
            return described(leaf)
        case _:
            assert_never(leaf)


def duration(seconds: float) -> str:
    """*seconds* in the largest unit that leaves a whole number."""
    for unit, name in _UNITS:
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{seconds:g} seconds"


def amount(size: int) -> str:
    """*size* bytes in the largest unit that leaves a whole number."""
    fits = ((unit, name) for unit, name in _SIZES if size >= unit and size % unit == 0)
    unit, name = next(fits, (1, "bytes"))
    return "1 byte" if size == 1 else f"{size // unit} {name}"


def _listed(texts: Sequence[str]) -> str:
    *most, last = texts or ("nothing",)
    return f"{', '.join(most)} or {last}" if most else last
