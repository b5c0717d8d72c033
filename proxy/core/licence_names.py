"""Names of licences that SPDX does not have, as indexes write them, and families by prefix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

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

NAMES: Mapping[str, str] = {
    "apache": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic license": "Artistic-1.0",
    "boost": "BSL-1.0",
    "boost software license": "BSL-1.0",
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
    "expat": "MIT",
    "freetype": "FTL",
    "free": _OTHER,
    "freeware": _OTHER,
    "hdf5": _OTHER,
    "ijg": "IJG",
    "jasper": "JasPer-2.0",
    "libpng": "Libpng",
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
    "sil open font license": "OFL-1.1",
    "sil open font license, version 1.1": "OFL-1.1",
    "sleepycat": "Sleepycat",
    "tcl/tk": "TCL",
    "ubuntu font licence version 1.0": "Ubuntu-font-1.0",
    "ucd": "Unicode-DFS-2016",
    "unlimited": "LicenseRef-unlimited",
    "various": _OTHER,
    "vim": "Vim",
    "w3c": "W3C",
    "wxwidgets": "wxWindows",
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
    name = _GNU[found["name"]]
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
    parts = re.split(r"[ -]+", found["parts"].strip())
    return "-".join(["CC", *(part.upper() for part in parts), found["version"]])


PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(
            r"(?:the )?(?:gnu )?(?P<name>(?:(?:lesser|library|affero) )?general public license"
            r"|a?gpl|lgpl)(?:\s*\([al]?gpl\))?[\s,_-]*(?P<at_least>>=?)?(?:==)?\s*"
            r"(?:version\s*|v\.?\s*)?(?P<version>\d(?:\.\d)?)?(?:\.0)?\s*(?P<plus>\+)?"
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
    (
        re.compile(r"cc(?P<parts>[ -]by(?:[ -](?:nc|nd|sa))*)[ -](?P<version>\d\.\d)"),
        _creative_commons,
    ),
    (re.compile(r"(?:see|as in|refer to) .*"), lambda _: _OTHER),
    (re.compile(r".*\b(?:proprietary|end[ -]user licen[cs]e agreement)\b.*"), lambda _: _OTHER),
)
"""Licences by how their names are written, in lower case; the first pattern counts."""
