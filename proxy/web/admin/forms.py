"""The form of a mirror: made from the same table that configuration files are checked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.config.declared import MIRROR
from proxy.config.key import Key
from proxy.config.kinds import FLAG, HOSTS, NAMES, TEXTS
from proxy.ecosystems import ECOSYSTEMS

_LISTS = (TEXTS, NAMES, HOSTS)
_FIXED = ("type", "name", "mode")
_FLAGS = (("", "as usual"), ("true", "yes"), ("false", "no"))
_TYPES = tuple((name, name) for name in ECOSYSTEMS)
_MODES = (
    ("passive", "passive: packages are fetched when a client asks for them"),
    ("active", "active: packages are fetched ahead, by runs"),
)
_NAMES = {
    "allow_hosts": "Allowed hosts",
    "size_limit": "Size limit",
    "keep_runs": "Runs kept",
    "gone_after": "Remove what is gone after",
    "specs": "Only these packages",
    "newest": "Newest versions",
}

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The mirror", ("type", "name", "mode", "source", "credentials")),
    ("What clients see", ("policy", "exclude", "include")),
    (
        "What an active mirror fetches",
        ("frequency", "platforms", "specs", "dependencies", "newest", "size_limit"),
    ),
    ("How gently", ("concurrency", "bandwidth", "window", "gone_after", "keep_runs")),
)
"""The settings that people meet first, in this order; the others come under *More*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One control: a choice where there are `choices`, several lines, or one."""

    name: str
    label: str
    help: str
    value: str
    choices: Sequence[tuple[str, str]] = ()
    is_long: bool = False
    is_fixed: bool = False
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Controls that belong together."""

    title: str
    fields: tuple[Field, ...]


def groups(
    values: Mapping[str, object], policies: Sequence[str], *, is_new: bool
) -> tuple[Group, ...]:
    """The form with *values* in it; of an established mirror some are fixed."""
    keys = {key.name: key for key in MIRROR}
    named = {name for _, names in GROUPS for name in names}
    rest = tuple(name for name in keys if name not in named)

    def made(names: Sequence[str]) -> tuple[Field, ...]:
        known = (keys[name] for name in names if name in keys)
        return tuple(_field(key, values.get(key.name), policies, is_new=is_new) for key in known)

    found = [Group(title=title, fields=made(names)) for title, names in GROUPS]
    return (*found, Group(title="More", fields=made(rest)))


def _field(key: Key, value: object, policies: Sequence[str], *, is_new: bool) -> Field:
    help_text = key.help.replace("; required.", ".")  # the label says so
    if key.default not in (None, [], ""):
        help_text += f" Usually {_shown(key.default)}."
    return Field(
        name=key.name,
        label=_NAMES.get(key.name, key.name.replace("_", " ").capitalize()),
        help=help_text,
        value="" if value is None else _shown(value),
        choices=_choices(key, policies),
        is_long=key.kind in _LISTS,
        is_fixed=not is_new and key.name in _FIXED,
        is_required=key.name in ("type", "name", "source"),
    )


def _choices(key: Key, policies: Sequence[str]) -> Sequence[tuple[str, str]]:
    match key.name:
        case "type":
            return _TYPES
        case "mode":
            return _MODES
        case "policy":
            return (
                ("", "the one for all mirrors"),
                ("none", "none"),
                *((name, name) for name in policies),
            )
        case _:
            return _FLAGS if key.kind is FLAG else ()


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list() | tuple():
            return "\n".join(map(str, value))
        case _:
            return str(value)


def values_of(form: Mapping[str, object]) -> dict[str, Any]:
    """What a form says, as TOML would; what was left empty is not written."""
    found: dict[str, Any] = {}
    for key in MIRROR:
        text = str(form.get(key.name, "")).replace("\r\n", "\n").strip()
        if not text:
            continue
        if key.kind in _LISTS:
            found[key.name] = [line.strip() for line in text.splitlines() if line.strip()]
        else:
            found[key.name] = key.kind.parse(text)
    return found
