"""Policy files: `policies/<name>.toml` beside the main configuration file, one policy in each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from proxy.config.files import ConfigFile
from proxy.config.findings import Findings
from proxy.config.policy_conditions import BY_NAME
from proxy.core.policy import (
    ABSENT,
    MALICIOUS,
    UNLISTED,
    UNRULED,
    All,
    AnyOf,
    Blocked,
    Condition,
    Effect,
    Names,
    Not,
    Policy,
    Rule,
    Specs,
)
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ConfigError

FOLDER = "policies"
"""The folder beside the main file."""

NONE = "none"
"""What a mirror says that wants no policy at all."""

EXCLUDE = "exclude"
"""What the rule of a mirror's own lists is called."""

RESERVED = frozenset({EXCLUDE, MALICIOUS.name, ABSENT.name, UNRULED.rule, UNLISTED})
"""Names of rules that no file has: people and the gate know the proxy's own by them."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TOP = ("description", "default", "blocked", "rule", "override")
_RULE = ("name", "allow", "deny", "warn", "reason", "expires", "types")
_EFFECTS = tuple(effect.value for effect in Effect)
_TYPES = tuple(kind for kind in ECOSYSTEMS if kind != "files")  # which say nothing of their files
_GROUPS = ("all", "any", "not", "dependencies")


def read_all(main: Path | None, found: Findings) -> dict[str, Policy]:
    """The policies beside *main*, by name; what is wrong goes into *found*.

    For a file that is wrong an empty policy stands: no mirror is to blame for naming it.
    """
    policies: dict[str, Policy] = {}
    for path in _paths(main):
        policies[path.stem] = Policy(name=path.stem)
        try:
            file = ConfigFile.read(path)
        except ConfigError as error:
            found.wrong.append(str(error))
            continue
        policy = Reader(file, found).policy()
        if policy is not None:
            policies[policy.name] = policy
    return policies


def read_one(path: Path) -> Policy:
    """The policy in the file *path*. Raises ConfigError with all that is wrong."""
    return _read(ConfigFile.read(path))


def read_text(name: str, text: str) -> Policy:
    """The policy that *text* would make as the file of *name*. Raises ConfigError likewise."""
    return _read(ConfigFile.of(Path(f"{name}.toml"), text))


def _read(file: ConfigFile) -> Policy:
    found = Findings()
    policy = Reader(file, found).policy()
    if policy is None or found.wrong:
        raise ConfigError("\n".join(found.wrong))
    return policy


def missing(name: str, policies: Mapping[str, Policy]) -> str | None:
    """What is to be said of the *name* of a policy that is none of *policies*; None: it is one."""
    if name == NONE or name in policies:
        return None
    known = ", ".join(sorted(policies)) or "none"
    where = f"{FOLDER}/<name>.toml beside the main file"
    return f"there is no policy {name!r}; known: {known}; each is a file {where}"


def filtered(
    policy: Policy | None, mirror: str, exclude: Sequence[str], include: Sequence[str]
) -> Policy | None:
    """*policy* behind a mirror's own lists; *include* excepts from *exclude*."""
    if not exclude:
        return policy
    names = Names(tuple(exclude))
    condition = All((names, Not(Names(tuple(include))))) if include else names
    base = policy or Policy(name=mirror)
    reason = f"the mirror {mirror} excludes it"
    rule = Rule(name=EXCLUDE, effect=Effect.DENY, condition=condition, reason=reason)
    return replace(base, overrides=(rule, *base.overrides))


def listing_as(policy: Policy, mirrors: Policy | None) -> Policy:
    """*policy* behind the mirror's own lists that are in the policy *mirrors*."""
    own = () if mirrors is None else mirrors.overrides
    refusing = tuple(rule for rule in own if rule.effect is Effect.DENY)  # files' overrides allow
    return replace(policy, overrides=(*refusing, *policy.overrides))


def _paths(main: Path | None) -> list[Path]:
    if main is None:
        return []
    found = sorted((main.parent / FOLDER).glob("*.toml"))
    return [path for path in found if not path.name.startswith(".")]


class Reader:
    """Reads one file, once; what is wrong goes into the findings, each with its line."""

    def __init__(self, file: ConfigFile, found: Findings) -> None:
        self._file = file
        self._found = found
        self._before = len(found.wrong)
        self._places: list[str] = []  # of the conditions of one rule, as they are met

    def policy(self) -> Policy | None:
        """The policy; None where anything is wrong with it."""
        content = self._file.content
        name = self._file.path.stem
        if not _NAME.fullmatch(name) or name == NONE:
            self._wrong((), "name the file in lower-case letters, digits and . _ -, and not none")
        self._check_keys((), content, _TOP)
        policy = Policy(
            name=name,
            description=self._text((), content, "description") or "",
            default=Effect(self._word((), content, "default", ("allow", "deny"))),
            blocked=Blocked(self._word((), content, "blocked", [one.value for one in Blocked])),
            rules=self._rules("rule", _EFFECTS),
            overrides=self._rules("override", ("allow",)),
        )
        self._check_names(policy)
        return policy if len(self._found.wrong) == self._before else None

    def _check_names(self, policy: Policy) -> None:
        seen: set[str] = set()
        for key, rules in (("rule", policy.rules), ("override", policy.overrides)):
            for number, rule in enumerate(rules):
                if rule.name in seen:
                    self._wrong((key, number, "name"), f"there are two rules called {rule.name}")
                seen.add(rule.name)

    # -- rules ---------------------------------------------------------------------------

    def _rules(self, key: str, effects: Sequence[str]) -> tuple[Rule, ...]:
        tables = self._file.content.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            self._wrong((key,), f"write [[{key}]] tables")
            return ()
        found = [self._rule((key, number), one, effects) for number, one in enumerate(tables)]
        return tuple(rule for rule in found if rule is not None)

    def _rule(
        self, at: tuple[str | int, ...], table: Mapping[str, Any], effects: Sequence[str]
    ) -> Rule | None:
        known = [key for key in _RULE if key not in _EFFECTS or key in effects]
        self._check_keys(at, table, known)
        name = self._text(at, table, "name")
        if name is None or not _NAME.fullmatch(name):
            self._wrong((*at, "name"), "give the rule a name in lower-case letters, digits and -")
        if name in RESERVED:
            self._wrong((*at, "name"), f"{name} is what the proxy's own refusals are called by")
        given = [effect for effect in effects if effect in table]
        if len(given) != 1:
            self._wrong(at, f"write {_one_of(effects)} with the rule's condition")
            return None
        (effect,) = given
        self._places = []
        condition = self._condition((*at, effect), table[effect])
        if condition is None or name is None:
            return None
        return Rule(
            name=name,
            effect=Effect(effect),
            condition=condition,
            reason=self._text(at, table, "reason"),
            expires=self._expires((*at, "expires"), table.get("expires")),
            types=self._types((*at, "types"), table.get("types")),
            where=self._file.at(*at),
            places=tuple(self._places),
        )

    def _expires(self, at: tuple[str | int, ...], value: Any) -> float | None:
        """A day begins at midnight in UTC; a time without an offset is meant so, too."""
        match value:
            case None:
                return None
            case datetime():
                moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            case date():
                moment = datetime.combine(value, time(), UTC)
            case _:
                self._wrong(at, "write a date without quotes, such as 2027-01-31")
                return None
        return moment.timestamp()

    def _types(self, at: tuple[str | int, ...], value: Any) -> frozenset[str]:
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not value or not set(map(str, value)) <= set(_TYPES):
            self._wrong(at, f"write a list of mirror types: {', '.join(_TYPES)}")
            return frozenset()
        return frozenset(value)

    # -- conditions ----------------------------------------------------------------------

    def _condition(self, at: tuple[str | int, ...], table: Any) -> Condition | None:
        if not isinstance(table, dict) or not table:
            self._wrong(at, 'write a table of conditions, such as { names = ["x*"] }')
            return None
        self._check_keys(at, table, [*BY_NAME, *_GROUPS])
        if "dependencies" in table and "specs" not in table:
            self._wrong((*at, "dependencies"), "stands beside specs: write specs = [...], too")
            return None
        parts = [
            self._part((*at, key), key, value, table)
            for key, value in table.items()
            if key in BY_NAME or key in ("all", "any", "not")
        ]
        found = tuple(part for part in parts if part is not None)
        if len(found) != len(parts) or not found:
            return None
        return found[0] if len(found) == 1 else All(found)

    def _part(
        self, at: tuple[str | int, ...], key: str, value: Any, table: Mapping[str, Any]
    ) -> Condition | None:
        if key == "not":
            inner = self._condition(at, value)
            return None if inner is None else Not(inner)
        if key in ("all", "any"):
            return self._group(at, key, value)
        try:
            leaf = BY_NAME[key].make(BY_NAME[key].kind.read(value))
        except ValueError as error:
            self._wrong(at, str(error))
            return None
        if isinstance(leaf, Specs) and "dependencies" in table:
            if not isinstance(table["dependencies"], bool):
                self._wrong((*at[:-1], "dependencies"), "write true or false")
            leaf = replace(leaf, dependencies=table["dependencies"] is True)
        self._places.append(self._file.at(*at))
        return leaf

    def _group(self, at: tuple[str | int, ...], key: str, value: Any) -> Condition | None:
        if not isinstance(value, list) or not value:
            self._wrong(at, "write a list of tables of conditions")
            return None
        inner = [self._condition((*at, number), one) for number, one in enumerate(value)]
        found = tuple(one for one in inner if one is not None)
        if len(found) != len(inner):
            return None
        return All(found) if key == "all" else AnyOf(found)

    # -- values --------------------------------------------------------------------------

    def _check_keys(
        self, at: tuple[str | int, ...], table: Mapping[str, Any], known: Sequence[str]
    ) -> None:
        for key in table:
            if key not in known:
                where = self._file.at(*at, key)
                self._found.unknown(where, _shown((*at, key)), key, known)

    def _text(self, at: tuple[str | int, ...], table: Mapping[str, Any], key: str) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if not text:
            self._wrong((*at, key), 'write a text in quotes, such as "…"')
            return None
        if not text.isprintable():
            self._wrong((*at, key), "write it without control characters")
            return None
        return text

    def _word(
        self, at: tuple[str | int, ...], table: Mapping[str, Any], key: str, words: Sequence[str]
    ) -> str:
        value = table.get(key, words[0])
        if value not in words:
            self._wrong((*at, key), f"write {' or '.join(words)} in quotes")
            return words[0]
        return str(value)

    def _wrong(self, at: tuple[str | int, ...], problem: str) -> None:
        shown = _shown(at)
        where = f"{self._file.at(*at)}: {shown}" if shown else self._file.at(*at)
        self._found.wrong.append(f"{where}: {problem}")


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _shown(at: Sequence[str | int]) -> str:
    """A place in the file, as people say it: `rule 1.deny.names`, counted from one."""
    text = ""
    for part in at:
        if isinstance(part, int):
            text += f" {part + 1}"
        else:
            text += f".{part}" if text else part
    return text
