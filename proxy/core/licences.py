"""Licences: what an index writes about them, as SPDX identifiers and as Anaconda's families.

Indexes say it in every shape: SPDX expressions, R's notation, names out of old setup scripts. What
is understood becomes a choice between sets of identifiers ("MIT OR GPL-2.0-only AND Zlib"), of
which a user may take any one. What is not understood is told apart from what is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate
from functools import cache, lru_cache
from itertools import product

from proxy.core.licence_names import FAMILY_PREFIXES, exceptions, identifier, identifiers, named
from proxy.core.licences_in_r import Choice, in_r

FAMILIES = (
    *("AGPL", "APACHE", "BSD", "CC", "GPL", "GPL2", "GPL3", "LGPL", "MIT", "MOZILLA", "NONE"),
    *("OTHER", "PSF", "PUBLIC-DOMAIN"),
)
"""Anaconda's.

A licence is in one: GPL2 has GPL-2.0-only and GPL-2.0-or-later, GPL3 those of version 3, GPL what
is of version 1 or of none in particular. A rule that lists GPL means all three, but never LGPL or
AGPL.
"""

_MOST = 64  # alternatives; nobody can want more
_LONGEST = 1000  # characters, four times what channels have: a pasted text is not read
_DEEPEST = 20  # brackets
_NOTHING = frozenset({"", "none", "unknown", "null", "na", "n/a", "noassertion"})
_LATER = re.compile(
    r"\(\s*or (?:any )?(?:later|newer|greater|higher|above)(?: versions?)?\s*\)"
    r"|,? or (?:any )?(?:later|newer|greater|higher|above)(?: versions?)?\b"
)
# R's bounds ("(>= 2, < 4)") are part of a name; "or" inside a word ("GPL-2.0-or-later") is, too.
_WORD = re.compile(r"\(\s*[<>=!][^()]*\)|[()|&,;]|[^\s()|&,;]+")
_SPDX_WORD = re.compile(r"[()]|[^\s()]+")  # SPDX 2.3, annex D: operators stand between blanks,
_NOT_SPDX = frozenset("|&,;")  # and are words
_OPERATORS = {"|": "or", "or": "or", "&": "and", "and": "and", ",": "and", ";": "and"}
_HARMLESS = re.compile(
    r"(?!.*gpl)(?:https?://|www\.)\S+|foss"
    r"|see (?:the )?(?:file )?(?:licen[cs]e|copying|readme)(?:\.\w+)?"
)

_ReadName = Callable[[str], tuple[Choice, ...]]


class _Unreadable(Exception):
    """The text has no structure that we know."""


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
    """Read what a channel says: an SPDX expression, R's notation, or any other text.

    *family_name* is what conda's `license_family` says; it counts where the text says nothing. Of
    a text that is not understood it may name the half that is harmless.
    """
    text = _said(raw)
    found = _joined(text.lower())
    if not text and family_name:
        known = _family_named(family_name)
        if known and known != "NONE":
            found = (frozenset({f"LicenseRef-{known}"}),)
    return Licence(raw=text or (family_name if found else None), alternatives=found)


@lru_cache(maxsize=8192)
def spdx(raw: str | None) -> Licence:
    """Read what is meant to be an SPDX expression, such as Python's `License-Expression`."""
    text = _said(raw)
    if len(text) > _LONGEST or not _NOT_SPDX.isdisjoint(text):
        return Licence(raw=text, alternatives=())
    found = _parsed(_SPDX_WORD.findall(text.lower()), _identified)
    return Licence(raw=text or None, alternatives=found)


@lru_cache(maxsize=8192)
def cran(raw: str | None) -> Licence:
    """Read R's `License`: where R and others differ ("BSD", "Apache License"), as R does."""
    text = _said(raw)
    found: list[Choice] = []
    if len(text) <= _LONGEST:
        for one in text.lower().split("|"):
            found += in_r(one) or _joined(one)
    return Licence(raw=text or None, alternatives=tuple(dict.fromkeys(found)))


@cache
def family(licence: str) -> str:
    """Anaconda's family of an SPDX identifier, with or without an exception."""
    known = licence.removeprefix("LicenseRef-").upper()
    if known in FAMILIES and known != "NONE":  # a licence called "none" is something said
        return known
    for prefix, name in FAMILY_PREFIXES:
        if licence.startswith(prefix):
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

    def _has(self, licence: str) -> bool:
        if family(licence) in self._families:
            return True
        bare = licence.partition(" WITH ")[0]
        return any(one.match(licence) or one.match(bare) for one in self._patterns)


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
    """*text*, an identifier or "X WITH Y", maybe with `*`, as a pattern of current ones."""
    if text.lower().startswith("licenseref-"):
        return text
    known = [*dict.fromkeys(identifiers().values())]
    if not any(letter in text for letter in "*?["):
        if found := identifier(text.lower()):
            return found
    else:
        base, _, exception = text.partition(" WITH ")
        if _is_one(base, known) and (not exception or _is_one(exception, exceptions().values())):
            return text
    if (family := _family_named(text)) is not None:
        raise ValueError(f'{text!r} is a family of licences; write licence_families = ["{family}"]')
    close = get_close_matches(text, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"{text!r} is no SPDX licence identifier{hint}")


def _is_one(pattern: str, names: Iterable[str]) -> bool:
    wanted = re.compile(translate(pattern), re.IGNORECASE)
    return any(wanted.match(one) for one in names)


# -- reading -----------------------------------------------------------------------------


def _said(raw: str | None) -> str:
    text = " ".join((raw or "").split())
    return "" if text.lower() in _NOTHING else text


def _identified(text: str) -> tuple[Choice, ...]:
    """The licence that SPDX calls *text*. Raises _Unreadable."""
    if (found := identifier(text)) is None:
        raise _Unreadable
    return (frozenset({found}),)


def _either(some: list[Choice], others: list[Choice]) -> list[Choice]:
    return _few(some + others)


def _both(some: list[Choice], others: list[Choice]) -> list[Choice]:
    return _few([one | other for one, other in product(some, others)])


def _few(found: list[Choice]) -> list[Choice]:
    once = list(dict.fromkeys(found))
    if len(once) > _MOST:
        raise _Unreadable
    return once


def _joined(text: str) -> tuple[Choice, ...]:
    """The alternatives in any *text* (in lower case), as far as they are understood.

    An alternative that is not understood is left out: nobody needs to take it. One of which a part
    is not understood is left out, too.
    """
    if len(text) > _LONGEST:
        return ()
    if whole := named(text):
        return whole
    return _parsed(_WORD.findall(_LATER.sub("+", text)), named)


def _parsed(words: list[str], read_name: _ReadName) -> tuple[Choice, ...]:
    try:
        return tuple(_Parser(words, read_name).parsed())
    except _Unreadable:
        return ()


class _Parser:
    """Recursive descent over `a and (b or c)`, where names are of several words."""

    def __init__(self, words: list[str], read_name: _ReadName) -> None:
        self._words = words
        self._read_name = read_name
        self._at = 0
        self._depth = 0

    def parsed(self) -> list[Choice]:
        """Raises _Unreadable where the words do not end where the expression does."""
        found = self._alternatives()
        if self._word() is not None:
            raise _Unreadable
        return found

    def _alternatives(self) -> list[Choice]:
        found = self._conjunction()
        while self._operator() == "or":
            self._at += 1
            found = _either(found, self._conjunction())
        return found

    def _conjunction(self) -> list[Choice]:
        found = self._term()
        while self._operator() == "and":
            self._at += 1
            found = _both(found, self._term())
        return found

    def _term(self) -> list[Choice]:
        if self._word() == "(":
            return self._bracketed()
        name = self._name()
        if not name:
            raise _Unreadable
        if self._word() != "(":
            return list(self._read_name(name))
        # What is in brackets after a name belongs to it, says it again, or adds nothing.
        start = self._at + 1
        self._skip_brackets()
        note = " ".join(self._words[start : self._at - 1])
        if whole := self._read_name(f"{name} {note}"):
            return list(whole)
        known = self._read_name(name)
        is_idle = _HARMLESS.fullmatch(note) or self._read_name(note) == known
        return list(known) if is_idle else []

    def _bracketed(self) -> list[Choice]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unreadable
        self._at += 1
        found = self._alternatives()
        if self._word() != ")":
            raise _Unreadable
        self._at += 1
        self._depth -= 1
        return found

    def _name(self) -> str:
        start = self._at
        while (word := self._word()) is not None and word not in ("(", ")", *_OPERATORS):
            self._at += 1
        return " ".join(self._words[start : self._at])

    def _skip_brackets(self) -> None:
        depth = 0
        while (word := self._word()) is not None:
            self._at += 1
            depth += {"(": 1, ")": -1}.get(word, 0)
            if depth == 0:
                return
        raise _Unreadable

    def _operator(self) -> str | None:
        word = self._word()
        return _OPERATORS.get(word) if word is not None else None

    def _word(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None
