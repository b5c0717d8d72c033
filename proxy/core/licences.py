"""Licences: what an index writes about them, as SPDX identifiers and as Anaconda's families.

Indexes say it in every shape: SPDX expressions, R's notation, names out of old setup scripts. What
is understood becomes a choice between sets of identifiers ("MIT OR GPL-2.0-only AND Zlib"), of
which a user may take any one. What is not understood is told apart from what is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate
from functools import cache, lru_cache
from itertools import product

from proxy.core.licence_names import FAMILY_PREFIXES, NAMES, PATTERNS

FAMILIES = (
    *("AGPL", "APACHE", "BSD", "CC", "GPL", "GPL2", "GPL3", "LGPL", "MIT", "MOZILLA", "NONE"),
    *("OTHER", "PSF", "PUBLIC-DOMAIN"),
)
"""Anaconda's. GPL is every version of it, GPL2 and GPL3 are one each."""

_MOST = 64  # alternatives; nobody can want more
_VERSION = re.compile(r"\(\s*(>=|==|>|<=)\s*([\d.]+)\s*\)")
_LATER = re.compile(r",?\s*\bor\s+(?:any\s+)?(?:later|newer|greater|higher|above)(?:\s+version)?\b")
_SPLIT = re.compile(r"(\(|\)|\||&|,|;|\bor\b|\band\b)")
_FILE = re.compile(r"\s*\+?\s*file licen[cs]e(?:\s*\([^()]*\))?$")
_WORDS = {"|": "or", "or": "or", "&": "and", "and": "and", ",": "and", ";": "and"}


@dataclass(frozen=True, slots=True)
class Licence:
    """What one file is under. `alternatives`: sets of identifiers; who takes the file takes one.

    None at all: nothing is said (`raw` is None), or nothing of it was understood.
    """

    raw: str | None
    alternatives: tuple[frozenset[str], ...]

    @property
    def recognised(self) -> bool:
        return bool(self.alternatives)

    @property
    def families(self) -> frozenset[str]:
        """Of all alternatives together."""
        if self.raw is None:
            return frozenset({"NONE"})
        return frozenset(family(one) for choice in self.alternatives for one in choice)


@lru_cache(maxsize=8192)
def read(raw: str | None, family_name: str | None = None) -> Licence:
    """Read what an index says: an SPDX expression, R's notation, or any other text.

    *family_name* is what conda's `license_family` says; it counts where nothing else is known.
    """
    text = " ".join((raw or "").split())
    if text.lower() in ("", "none", "unknown", "null"):
        text = ""
    found = _expression(text.lower()) if text else ()
    if not found and family_name and (known := _family_named(family_name)):
        found = (frozenset({f"LicenseRef-{known}"}),)
    return Licence(raw=text or (family_name if found else None), alternatives=found)


@cache
def family(identifier: str) -> str:
    """Anaconda's family of an SPDX identifier, with or without an exception."""
    named = identifier.removeprefix("LicenseRef-").upper()
    if named in FAMILIES:
        return named
    for prefix, name in FAMILY_PREFIXES:
        if identifier.startswith(prefix):
            return name
    return "OTHER"


class LicenceSet:
    """What a rule lists: identifiers, with `*`, and families."""

    def __init__(self, ids: Sequence[str] = (), families: Sequence[str] = ()) -> None:
        """Raises ValueError where something listed is no licence, or no family."""
        self._families = frozenset(_checked_family(one) for one in families)
        if "GPL" in self._families:
            self._families |= {"GPL2", "GPL3"}
        self._patterns = [re.compile(translate(_checked_id(one)), re.IGNORECASE) for one in ids]

    def truth(self, licence: Licence, *, may: bool) -> bool | None:
        """Whether *licence* is in the set; None: that can't be known.

        *may*: it is, if a user may take it as one that is; else only if there is no other way.
        """
        if licence.raw is None:
            return True if "NONE" in self._families else None
        if not licence.recognised:
            return None
        if may:
            return any(all(map(self._has, choice)) for choice in licence.alternatives)
        return all(any(map(self._has, choice)) for choice in licence.alternatives)

    def _has(self, identifier: str) -> bool:
        if family(identifier) in self._families:
            return True
        bare = identifier.partition(" WITH ")[0]
        return any(one.match(identifier) or one.match(bare) for one in self._patterns)


def wrong(ids: Sequence[str], families: Sequence[str]) -> str | None:
    """What is wrong about a rule that lists these."""
    try:
        LicenceSet(ids, families)
    except ValueError as error:
        return str(error)
    return None


def _checked_family(text: str) -> str:
    known = _family_named(text)
    if known is None:
        raise ValueError(f"{text!r} is no family of licences; known are {', '.join(FAMILIES)}")
    return known


def _family_named(text: str) -> str | None:
    name = text.strip().upper().replace(" ", "-").replace("_", "-")
    name = {"PROPRIETARY": "OTHER", "PUBLICDOMAIN": "PUBLIC-DOMAIN"}.get(name, name)
    return name if name in FAMILIES else None


def _checked_id(text: str) -> str:
    """*text* as a pattern of current identifiers."""
    if text.lower().startswith("licenseref-"):
        return text
    known = _identifiers()
    if any(letter in text for letter in "*?["):
        pattern = re.compile(translate(text), re.IGNORECASE)
        if any(pattern.match(one) for one in known.values()):
            return text
    elif found := known.get(text.lower()):
        return found
    close = get_close_matches(text, list(known.values()), 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"{text!r} is no SPDX licence identifier{hint}")


# -- reading -----------------------------------------------------------------------------


@cache
def _identifiers() -> dict[str, str]:
    """Current SPDX identifiers by every name that SPDX has for them, in lower case."""
    import license_expression  # noqa: PLC0415 - 80 ms with its tables, for those with such a rule

    known: dict[str, str] = {}
    for key, symbol in license_expression.get_spdx_licensing().known_symbols.items():
        if key.startswith("LicenseRef-scancode") or symbol.is_exception:
            continue
        for name in (key, *symbol.aliases):
            known[name.lower()] = key
    return known


@cache
def _exceptions() -> dict[str, str]:
    import license_expression  # noqa: PLC0415 - as above

    symbols = license_expression.get_spdx_licensing().known_symbols
    return {key.lower(): key for key, symbol in symbols.items() if symbol.is_exception}


def _expression(text: str) -> tuple[frozenset[str], ...]:
    """The alternatives in *text* (in lower case), as far as they are understood."""
    whole = _atom(text)
    if whole is not None:
        return (frozenset({whole}),)
    text = _LATER.sub("+", _VERSION.sub(r" \1\2", text))
    tokens = [token.strip() for token in _SPLIT.split(text)]
    parser = _Parser([token for token in tokens if token])
    return tuple(dict.fromkeys(parser.alternatives()))


class _Parser:
    """Recursive descent over `a and (b or c)`; what is not understood is no alternative."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    def alternatives(self) -> list[frozenset[str]]:
        found = self._conjunction()
        while self._operator() == "or":
            self._at += 1
            found = (found + self._conjunction())[:_MOST]
        return found

    def _conjunction(self) -> list[frozenset[str]]:
        found = self._term()
        while self._operator() == "and":
            self._at += 1
            pairs = product(found, self._term())
            found = [one | other for one, other in pairs][:_MOST]
        return found

    def _term(self) -> list[frozenset[str]]:
        word = self._word()
        if word is None or word == ")" or word in _WORDS:
            return []
        self._at += 1
        if word == "(":
            found = self.alternatives()
            if self._word() == ")":
                self._at += 1
            return found
        if self._word() == "(":  # a note, such as the short name in brackets
            self._skip_note()
        identifier = _atom(word)
        return [] if identifier is None else [frozenset({identifier})]

    def _skip_note(self) -> None:
        depth = 0
        while (word := self._word()) is not None:
            self._at += 1
            depth += {"(": 1, ")": -1}.get(word, 0)
            if depth == 0:
                return

    def _operator(self) -> str | None:
        word = self._word()
        return _WORDS.get(word) if word is not None else None

    def _word(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None


@lru_cache(maxsize=8192)
def _atom(text: str) -> str | None:
    """The identifier of one licence called *text* (in lower case); None: it is not known."""
    text = text.strip(" .\"'")
    if text.startswith("file licen"):
        return "LicenseRef-file"
    text = _FILE.sub("", text).strip()
    base, _, exception = text.partition(" with ")
    if exception:
        known, extra = _atom(base), _exceptions().get(exception.strip())
        return None if known is None else f"{known} WITH {extra or 'LicenseRef-exception'}"
    if found := _identifiers().get(text) or NAMES.get(text):
        return found
    if text.startswith("licenseref-"):
        return f"LicenseRef-{text.removeprefix('licenseref-')}"
    for pattern, made in PATTERNS:
        if match := pattern.fullmatch(text):
            identifier = made(match)
            return _identifiers().get(identifier.lower(), identifier)
    return None
