"""R's notation for licences ("Writing R Extensions", section 1.1.2) as SPDX identifiers.

`in_r` reads what stands between two bars: `GPL (>= 2)`, `LGPL-2.1`, `MIT + file LICENSE`. It
promises to answer nothing rather than a part of what the text says. The bars, and texts that R
would not take either, are left to `proxy.core.licences`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from proxy.core import r_bounds
from proxy.core.r_bounds import Bounds

Choice = frozenset[str]
"""Identifiers of licences that hold together; a user takes one choice of several."""

FILE = "LicenseRef-file"
"""Terms in a file of the package's own."""

EXTENSION = re.compile(r" ?\+? ?file licen[cs]e$")

R_UNVERSIONED: Mapping[str, str] = {
    "bsd": "BSD-3-Clause",
    "bsd_2_clause": "BSD-2-Clause",
    "bsd_3_clause": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "freebsd": "BSD-2-Clause",
    "freebsd license": "BSD-2-Clause",
    "mit": "MIT",
    "mit license": "MIT",
    "modified bsd license": "BSD-3-Clause",
    "unlimited": "LicenseRef-unlimited",
    "x11": "X11",
    "x11 license": "X11",
    "zlib": "Zlib",
    "zlib license": "Zlib",
}
"""R's licences without versions, in lower case."""

_GPL = {"1": "GPL-1.0", "2": "GPL-2.0", "3": "GPL-3.0"}
_LGPL = {"2": "LGPL-2.0", "2.1": "LGPL-2.1", "3": "LGPL-3.0"}
_AGPL = {"3": "AGPL-3.0"}
_APACHE = {"1.0": "Apache-1.0", "1.1": "Apache-1.1", "2.0": "Apache-2.0"}
_ARTISTIC = {"1.0": "Artistic-1.0", "2.0": "Artistic-2.0"}
_MPL = {"1.0": "MPL-1.0", "1.1": "MPL-1.1", "2.0": "MPL-2.0"}
_CPL = {"1.0": "CPL-1.0"}
_EPL = {"1.0": "EPL-1.0", "2.0": "EPL-2.0"}
_EUPL = {"1.0": "EUPL-1.0", "1.1": "EUPL-1.1", "1.2": "EUPL-1.2"}
_BSL = {"1.0": "BSL-1.0"}
_ACM = {"1998": "LicenseRef-acm"}

R_VERSIONED: Mapping[str, Mapping[str, str]] = {
    "acm": _ACM,
    "acm software license agreement": _ACM,
    "agpl": _AGPL,
    "apache": _APACHE,
    "apache license": _APACHE,
    "artistic": _ARTISTIC,
    "artistic license": _ARTISTIC,
    "boost software license": _BSL,
    "bsl": _BSL,
    "cecill": {"2": "CECILL-2.0", "2.1": "CECILL-2.1"},
    "common public license": _CPL,
    "cpl": _CPL,
    "eclipse public license": _EPL,
    "epl": _EPL,
    "eupl": _EUPL,
    "european union public license": _EUPL,
    "gnu affero general public license": _AGPL,
    "gnu general public license": _GPL,
    "gnu lesser general public license": _LGPL,
    "gnu library general public license": _LGPL,
    "gpl": _GPL,
    "lgpl": _LGPL,
    "lucent public license": {"1.0": "LPL-1.0", "1.02": "LPL-1.02"},
    "mozilla public license": _MPL,
    "mpl": _MPL,
}
"""R's licences with versions, in lower case; those of GNU are without "only" and "or-later"."""

_TEMPLATES = frozenset({"MIT", "BSD-2-Clause", "BSD-3-Clause"})
"""Whose `+ file LICENSE` says who owns the copyright, and adds no terms."""

_R_SPEC = re.compile(r"(?P<name>[^()]+?)\s*\((?P<spec>[^()]*)\)")
_R_WRITTEN = re.compile(r"(?P<name>.+?)(?:-| (?:version )?)(?P<version>\d+(?:\.\d+)*)")


@lru_cache(maxsize=8192)
def in_r(text: str) -> tuple[Choice, ...]:
    """What *text*, one of R's alternatives in lower case, leaves to choose; () if not known."""
    text = text.strip()
    if tail := EXTENSION.search(text):
        return extended(text[: tail.start()], in_r)
    if found := R_UNVERSIONED.get(text):
        return (frozenset({found}),)
    if versions := R_VERSIONED.get(text):
        return _among(versions, ())
    if (match := _R_SPEC.fullmatch(text)) and (versions := R_VERSIONED.get(match["name"])):
        bounds = r_bounds.read(match["spec"], _release)
        return () if bounds is None else _among(versions, bounds)
    if (match := _R_WRITTEN.fullmatch(text)) and (versions := R_VERSIONED.get(match["name"])):
        return _among(versions, (("==", _release(match["version"])),))
    return ()


def extended(base: str, read: Callable[[str], tuple[Choice, ...]]) -> tuple[Choice, ...]:
    """Of `BASE + file LICENSE`; the file alone if there is no base."""
    if not base:
        return (frozenset({FILE}),)
    return tuple(one if one <= _TEMPLATES else one | {FILE} for one in read(base))


def _among(versions: Mapping[str, str], bounds: Bounds) -> tuple[Choice, ...]:
    """Those of *versions* within *bounds*; without an upper bound, GNU's are open to later ones."""
    within = [
        stem for version, stem in versions.items() if r_bounds.within(_release(version), bounds)
    ]
    if not within or "GPL-" not in within[0]:
        return tuple(frozenset({one}) for one in within)
    if all(sign in (">", ">=") for sign, _ in bounds):
        return (frozenset({f"{within[0]}-or-later"}),)
    return tuple(frozenset({f"{one}-only"}) for one in within)


def _release(text: str) -> tuple[int, ...]:
    """*text* without zeros at its end: 2 and 2.0 are one, though not for R's `numeric_version`."""
    numbers = [int(one) for one in re.split("[.-]", text)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
