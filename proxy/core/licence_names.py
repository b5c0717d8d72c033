"""What licences are called: names that indexes use for them, as SPDX identifiers, and families.

`named` reads the name of one licence. It promises to answer nothing rather than a part of what
the text says: whoever skips a word of a licence may skip the one that matters. Joining licences
by `and` and `or` is left to `proxy.core.licences`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from proxy.core.licences_in_r import EXTENSION, FILE, Choice, extended, in_r

FAMILY_PREFIXES: tuple[tuple[str, str], ...] = (
    ("AGPL-", "AGPL"),
    ("LGPL-", "LGPL"),
    ("GPL-2.0", "GPL2"),
    ("GPL-3.0", "GPL3"),
    ("GPL-", "GPL"),
    ("Apache-", "APACHE"),
    ("BSD-", "BSD"),
    ("0BSD", "BSD"),
    ("CC-", "CC"),
    ("CC0-", "CC"),
    ("MIT", "MIT"),
    ("X11", "MIT"),
    ("MPL-", "MOZILLA"),
    ("PSF-", "PSF"),
    ("Python-", "PSF"),
    ("Unlicense", "PUBLIC-DOMAIN"),
    ("LicenseRef-public-domain", "PUBLIC-DOMAIN"),
)
"""The first that an identifier begins with says its family."""

_PUBLIC = "LicenseRef-public-domain"
_OTHER = "LicenseRef-other"

DEPRECATED: Mapping[str, str] = {
    "eCos-2.0": "GPL-2.0-or-later WITH eCos-exception-2.0",
    "GPL-2.0-with-autoconf-exception": "GPL-2.0-only WITH Autoconf-exception-2.0",
    "GPL-2.0-with-bison-exception": "GPL-2.0-only WITH Bison-exception-2.2",
    "GPL-2.0-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "GPL-2.0-with-font-exception": "GPL-2.0-only WITH Font-exception-2.0",
    "GPL-2.0-with-GCC-exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GPL-3.0-with-autoconf-exception": "GPL-3.0-only WITH Autoconf-exception-3.0",
    "GPL-3.0-with-GCC-exception": "GPL-3.0-only WITH GCC-exception-3.1",
    "wxWindows": "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
    "MPL-2.0-no-copyleft-exception": "MPL-2.0-no-copyleft-exception",
    "Net-SNMP": "Net-SNMP",
}
"""Identifiers of SPDX that the library takes for exceptions or does not have, as current ones."""

NAMES: Mapping[str, str] = {
    "apache": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic license": "Artistic-1.0",
    "artistic license 2.0": "Artistic-2.0",
    "boost": "BSL-1.0",
    "boost software license": "BSL-1.0",
    "boost software license 1.0": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "bsd": "LicenseRef-BSD",
    "bsd license": "LicenseRef-BSD",
    "bsd-like": "LicenseRef-BSD",
    "bsd-style": "LicenseRef-BSD",
    "bzip2": "bzip2-1.0.6",
    "cc0": "CC0-1.0",
    "cc 0": "CC0-1.0",
    "commercial": "LicenseRef-proprietary",
    "custom": _OTHER,
    "custom open source": _OTHER,
    "eula": "LicenseRef-proprietary",
    "eclipse public license 1.0": "EPL-1.0",
    "eclipse public license 2.0": "EPL-2.0",
    "expat": "MIT",
    "freetype": "FTL",
    "free": _OTHER,
    "freeware": _OTHER,
    "hdf5": _OTHER,
    "ijg": "IJG",
    "isc license (iscl)": "ISC",
    "jasper": "JasPer-2.0",
    "libpng": "Libpng",
    "license file": FILE,
    "license.md": FILE,
    "license.txt": FILE,
    "lucent public license": "LPL-1.02",
    "mit license": "MIT",
    "mit-like": "MIT",
    "mit-style": "MIT",
    "mit/x11": "MIT",
    "mit / x11": "MIT",
    "x11/mit": "MIT",
    "mozilla public license": "MPL-2.0",
    "mpl": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "simplified bsd": "BSD-2-Clause",
    "simplified bsd license": "BSD-2-Clause",
    "freebsd": "BSD-2-Clause",
    "nvidia end user license agreement": "LicenseRef-proprietary",
    "ofl": "OFL-1.1",
    "open source": _OTHER,
    "openssl": "OpenSSL",
    "other": _OTHER,
    "postgresql license": "PostgreSQL",
    "proprietary": "LicenseRef-proprietary",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "psf-based": "PSF-2.0",
    "psfl": "PSF-2.0",
    "python": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "public domain": _PUBLIC,
    "public-domain": _PUBLIC,
    "publicdomain": _PUBLIC,
    "licenseref-public-domain": _PUBLIC,
    "pd": _PUBLIC,
    "ruby": "Ruby",
    "sil ofl 1.1": "OFL-1.1",
    "sil open font license": "OFL-1.1",
    "sil open font license, version 1.1": "OFL-1.1",
    "sleepycat": "Sleepycat",
    "tcl/tk": "TCL",
    "ubuntu font licence version 1.0": "Ubuntu-font-1.0",
    "the university of illinois/ncsa open source license": "NCSA",
    "ucd": "Unicode-DFS-2016",
    "university of illinois/ncsa open source license": "NCSA",
    "unlimited": "LicenseRef-unlimited",
    "various": _OTHER,
    "vim": "Vim",
    "w3c": "W3C",
    "wxwidgets": "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
    "zlib license": "Zlib",
    "zlib with acknowledgement": "zlib-acknowledgement",
    "zlib/libpng": "Zlib",
    "zope public license": "ZPL-2.1",
    "zpl": "ZPL-2.1",
}
"""Licences by the names that indexes give them, in lower case."""

_GNU = {
    "general public license": "GPL",
    "lesser general public license": "LGPL",
    "library general public license": "LGPL",
    "affero general public license": "AGPL",
    "gpl": "GPL",
    "lgpl": "LGPL",
    "agpl": "AGPL",
}
_UNVERSIONED = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "3.0"}


def _gnu(found: re.Match[str]) -> str:
    name = _GNU[found["name"].replace("licence", "license")]
    version = found["version"]
    if version is None:  # of no version in particular: its user may take any
        return f"{name}-{_UNVERSIONED[name]}-or-later"
    whole = version if "." in version else f"{version}.0"
    later = found["at_least"] or found["plus"]
    return f"{name}-{whole}-{'or-later' if later else 'only'}"


def _versioned(name: str) -> Callable[[re.Match[str]], str]:
    def made(found: re.Match[str]) -> str:
        version = found["version"]
        return f"{name}-{version if '.' in version else f'{version}.0'}"

    return made


def _bsd(found: re.Match[str]) -> str:
    return f"BSD-{found['before'] or found['after']}-Clause"


def _creative_commons(found: re.Match[str]) -> str:
    parts = re.split(r"[ -]+", found["parts"].strip(" -"))
    short = "-".join(["CC", *(_CC.get(part, part.upper()) for part in parts), found["version"]])
    national = f"{short}-{(found['country'] or '').upper()}"
    return identifiers().get(national.lower(), short)


_CC = {"attribution": "BY", "noncommercial": "NC", "noderivs": "ND", "noderivatives": "ND"} | {
    "sharealike": "SA"
}

PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(
            r"(?:the )?(?:gnu )?(?P<name>(?:(?:lesser|library|affero) )?general public licen[cs]e"
            r"|a?gpl|lgpl)(?:\s*\([al]?gpl\))?[\s,_-]*(?P<at_least>>=?)?(?:==)?\s*"
            r"(?:version\s*|v\.?\s*)?(?P<version>\d(?:\.\d)?)?(?:\.0)?\s*(?P<plus>\+|-or-later)?"
            r"(?:[\s-]only)?"
        ),
        _gnu,
    ),
    (
        re.compile(
            r"(?:the )?(?:apache|asl)(?: software)?(?: licen[cs]e)?[\s,-]*(?:==|>=)?\s*"
            r"(?:version\s*|v\.?\s*)?(?P<version>\d(?:\.\d)?)"
        ),
        _versioned("Apache"),
    ),
    (
        re.compile(
            r"(?:mozilla public licen[cs]e|mpl)[\s,-]*(?:==|>=)?\s*(?:version\s*|v\.?\s*)?"
            r"(?P<version>\d(?:\.\d)?)\+?"
        ),
        _versioned("MPL"),
    ),
    (
        re.compile(
            r"(?:(?:the )?(?P<before>[234])[\s_-]?clause )?(?:new |modified |revised |simplified )?"
            r"bsd(?: licen[cs]e)?(?:[\s_-]+\(?(?P<after>[234])(?:[\s_-]?clause\)?)?)?"
            r"(?: licen[cs]e)?(?<=[a-z234)])"
        ),
        lambda found: _bsd(found) if found["before"] or found["after"] else "LicenseRef-BSD",
    ),
    (re.compile(r"(?:zope public licen[cs]e|zpl)[ -](?P<version>\d\.\d)"), _versioned("ZPL")),
    (
        re.compile(
            r"(?:psf|python software foundation)(?: licen[cs]e)?,?[ -](?:version |v)?2(?:\.0)?"
        ),
        lambda _: "PSF-2.0",
    ),
    (
        re.compile(
            r"(?:cc|creative commons)(?P<parts>[ -](?:by|attribution)"
            r"(?:[ -](?:nc|nd|sa|noncommercial|noderivs|noderivatives|sharealike))*)"
            r"[ -](?P<version>\d\.\d)(?: (?:international|unported|generic|united states))?"
            r"(?: (?P<country>us))?(?: licen[cs]e)?"
        ),
        _creative_commons,
    ),
)
"""Licences by how their names are written, in lower case; the first pattern counts."""

_VAGUE = re.compile(
    r"(?:see|as in|refer to) .*|.*\b(?:proprietary|end[ -]user licen[cs]e agreement)\b.*"
)
_TELLING = re.compile(r"gpl|general public|[(|&,;]|\b(?:and|or)\b")
"""What a text that says no more than "proprietary" or "see there" does not mention."""

_REFERENCE = re.compile(r"licenseref-[a-z0-9.-]+")  # SPDX 2.3, annex D: idstring
_CONSTRAINT = re.compile(r"\(\s*(>=|==|>|<=)\s*([\d.]+)\s*\)")


@cache
def _symbols() -> Mapping[str, Any]:
    """SPDX's licences and exceptions, as the library has them.

    Its parser is not used: it meets malformed texts with bare assertions.
    """
    # Here and not above: 40 ms to import and 20 ms to build, for those with rules about licences.
    import license_expression  # noqa: PLC0415

    symbols: Mapping[str, Any] = license_expression.get_spdx_licensing().known_symbols
    return symbols


@cache
def identifiers() -> dict[str, str]:
    """Current SPDX identifiers by every name that SPDX has for them, in lower case."""
    known: dict[str, str] = {}
    for key, symbol in _symbols().items():
        if key.startswith("LicenseRef-") or symbol.is_exception:
            continue
        for name in (key, *symbol.aliases):
            # A LicenseRef means what its own document says (SPDX 2.3, section 10.1).
            if not name.startswith("LicenseRef-"):
                known[name.lower()] = key
    return known | {name.lower(): current for name, current in DEPRECATED.items()}


@cache
def exceptions() -> dict[str, str]:
    """SPDX's exceptions (what may follow WITH) by their names in lower case."""
    return {key.lower(): key for key, symbol in _symbols().items() if symbol.is_exception}


def identifier(text: str) -> str | None:
    """What SPDX calls *text* (in lower case): an identifier, "X WITH Y", or a LicenseRef."""
    base, _, exception = text.partition(" with ")
    if exception:
        known, extra = identifier(base), exceptions().get(exception)
        return f"{known} WITH {extra}" if known and extra else None
    # "X+" is "X or a later version" also where SPDX has no name for that: one may take X.
    if known := identifiers().get(text) or identifiers().get(text.removesuffix("+")):
        return known
    if not _REFERENCE.fullmatch(text):
        return None
    return NAMES.get(text) or f"LicenseRef-{text.removeprefix('licenseref-')}"


@lru_cache(maxsize=8192)
def named(text: str) -> tuple[Choice, ...]:
    """What *text*, the name of one licence in lower case, leaves to choose; () if not known."""
    text = text.strip(" .\"'")
    if tail := EXTENSION.search(text):
        return extended(text[: tail.start()], named)
    if found := identifier(text) or NAMES.get(text):
        return (frozenset({found}),)
    base, _, exception = text.partition(" with ")
    if exception:
        if exception not in ("exception", "exceptions"):
            return ()
        return tuple(
            frozenset(f"{one} WITH LicenseRef-exception" for one in choice)
            for choice in named(base)
        )
    if text != "bsl" and (found_in_r := in_r(text)):  # outside of R often the Business Source one
        return found_in_r
    if found := _patterned(_CONSTRAINT.sub(r" \1\2", text)):
        return (frozenset({found}),)
    bare = text.removeprefix("the ").removesuffix(" license").removesuffix(" licence")
    if bare != text and (found := identifier(bare) or NAMES.get(bare)):
        return (frozenset({found}),)
    if _VAGUE.fullmatch(text) and not _TELLING.search(text):
        return (frozenset({_OTHER}),)
    return ()


def _patterned(text: str) -> str | None:
    for pattern, made in PATTERNS:
        if match := pattern.fullmatch(text):
            return identifier(made(match).lower())
    return None
