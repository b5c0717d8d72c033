"""URLs, and texts that mention them, made safe to show. A mirror's source may hold a secret.

Nothing here raises: what cannot be understood is masked rather than shown.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

MASK = "***"
"""What stands where a secret was."""

# conda's `/t/<token>/`, at the start of a path or below a prefix, its slashes escaped or not.
_TOKEN = re.compile(r"((?:^|/|%2f)t(?:/|%2f)+)[^/?#%\s]+", re.IGNORECASE)
_USERINFO = re.compile(r"^[^/?#]*@")
# Repetitions before a fixed word are bounded, else a long text costs the square of its length.
_URL = re.compile(r"""[a-z][a-z0-9+.-]{0,19}:[/\\]{2}[^\s"'<>]+""", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"""(?ix)
    \b(?: ((?-i:Basic|Bearer|Digest|Negotiate)) (\s+) [^\s"',;]{6,}
        | (basic|bearer|token) (\s+) (?=[^\s"']*(?-i:[0-9A-Z])) [^\s"',;]{6,}
        | ((?:proxy-)?authorization|(?:set-)?cookie) (["']?\s*[:=]\s*) [^\r\n]+
        | ([a-z0-9_-]{0,20}(?:password|passwd|secret|token|api[_-]?key)) (["']?\s*[:=]\s*["']?)
          [^\s"'&,;]+
        | (pypi|ghp|gho|ghs|pfx|glpat|pkp) ([-_]) [a-z0-9_-]{16,}
    )"""
)
# One of these is in every text that the patterns above could match: looking for them first costs
# a tenth of trying the patterns, and most texts have none.
_SUSPECT = (
    *("://", ":\\", "@", "t/", "%2f", "basic", "bearer", "digest", "negotiate", "token"),
    *("authorization", "cookie", "passw", "secret", "api_key", "api-key", "apikey"),
    *("pypi-", "pypi_", "pkp-", "gh", "pfx", "glpat"),
)


@lru_cache(maxsize=512)  # one request's address is shown in several places
def redacted(url: str) -> str:
    """*url* without user, password, token in its path, query or fragment.

    Paths and host names without a scheme are fine, too. Idempotent.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where "user:pass/word@host" leaves a password as the port
    except ValueError:
        return _opaque(url)
    if not parts.netloc:
        # No authority: a path, or "user:password@host/..." whose user looks like a scheme.
        bare = _USERINFO.sub("", re.split(r"[?#]", url)[0])
        return _TOKEN.sub(rf"\1{MASK}", bare) + (f"?{MASK}" if "?" in url else "")
    host = parts.netloc.rpartition("@")[2]
    path = _TOKEN.sub(rf"\1{MASK}", parts.path)
    return urlunsplit((parts.scheme, host, path, MASK if parts.query else "", ""))


def _opaque(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://{MASK}" if separator and scheme.isalnum() else MASK


@lru_cache(maxsize=512)  # methods, mirrors, agents, hot paths: most texts come again
def scrubbed(text: str) -> str:
    """*text* with the URLs in it redacted and whatever looks like a credential masked.

    A second line of defence: whoever writes a text keeps secrets out of it in the first place.
    """
    lowered = text.lower()
    if not any(word in lowered for word in _SUSPECT):
        return text
    text = _URL.sub(lambda found: redacted(found[0]), text)
    return _CREDENTIAL.sub(_masked, _TOKEN.sub(rf"\1{MASK}", text))


def _masked(found: re.Match[str]) -> str:
    kept = [group for group in found.groups() if group]
    return "".join(kept) + MASK
