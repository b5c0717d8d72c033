"""The R that a User-Agent names: some servers give each R the binary package made for it."""

from __future__ import annotations

import re
from typing import NamedTuple

USER_AGENT = "user-agent"
"""The header, as requests' headers are named here."""

_LINUX = "/__linux__/"

# What `utils:::defaultUserAgent` makes, alone or within what RStudio and renv put around it.
_R = re.compile(r"\bR \((\d{1,3}\.\d{1,3})\.[0-9a-z-]{1,20} ([A-Za-z0-9_. -]{1,200})\)")


class RAgent(NamedTuple):
    """`text` is what upstream is told of the client, `platform` what its answer may depend on."""

    text: str
    platform: str


def r_agent(user_agent: str) -> RAgent | None:
    """The R in *user_agent*: its version without the patch, its platform; None: it names none."""
    found = _R.search(user_agent)
    return None if found is None else RAgent(found[0], f"R {found[1]} {found[2]}")


def may_be_r(user_agent: str) -> bool:
    """Whether R may have sent it: unless `HTTPUserAgent` is set R names the library it uses."""
    return user_agent.startswith("libcurl/") or r_agent(user_agent) is not None


def chooses_by_agent(url: str) -> bool:
    """Whether the server may answer each R with another file at *url*, and not say so (`Vary`).

    So do the addresses at which Posit's package manager, and what is made like it, has binaries for
    Linux: there is one address for a package's source and all its binaries.
    """
    return _LINUX in url
