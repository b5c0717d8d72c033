"""Which credential goes with an address: matched by host, for every hop anew.

In this order: the credential that the mirror names and the user and password in its source
(both for the source's own host only), the auth file, `.netrc`. None is sent in the clear where
the source is https. Nothing of a client's request takes part. A secret is never in a message, a
repr or a log line.
"""

from __future__ import annotations

import asyncio
import base64
import netrc
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from proxy.config.credentials import Basic, Bearer, Credential, Header, PathToken
from proxy.core.model import Mirror
from proxy.errors import ConfigError, UpstreamRefused
from proxy.upstream.authfile import AuthFile, OAuth, Unsupported
from proxy.upstream.guard import confidential, own

EARLY = 60.0
"""Seconds before its end that an OAuth token is renewed, so that it outlives its request."""

Refresh = Callable[[OAuth], Awaitable[Mapping[str, object]]]
"""Posts a refresh request (RFC 6749 section 6) and returns the answer's JSON object."""

_LONGEST = 100 * 365 * 86400.0  # seconds that a token may be said to last


class Credentials:
    """Finds and applies credentials."""

    def __init__(
        self,
        *,
        named: Mapping[str, Credential],
        auth_file: Path | None,
        netrc_file: Path | None,
        refresh: Refresh,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._named = named
        self._auth_file = AuthFile(auth_file) if auth_file else None
        self._netrc = _Netrc(netrc_file)
        self._refresh = refresh
        self._clock = clock
        self._renewing = asyncio.Lock()

    def configure(self, *, named: Mapping[str, Credential], auth_file: Path | None) -> None:
        """Use other credentials from now on."""
        self._named = named
        self._auth_file = AuthFile(auth_file) if auth_file else None

    async def for_url(self, url: str, mirror: Mirror) -> tuple[str, dict[str, str]]:
        """The address to ask and the headers to add. Raises ConfigError, UpstreamRefused."""
        credential = await self._find(url, mirror)
        match credential:
            case None:
                return _bare(url), {}
            case Bearer(token=token):
                return _bare(url), {"Authorization": f"Bearer {token}"}
            case Basic(username=user, password=password):
                pair = base64.b64encode(f"{user}:{password}".encode()).decode()
                return _bare(url), {"Authorization": f"Basic {pair}"}
            case Header(name=name, value=value):
                return _bare(url), {name: value}
            case PathToken(token=token):
                return _with_token(_bare(url), token), {}

    async def _find(self, url: str, mirror: Mirror) -> Credential | None:
        if not confidential(url, mirror):
            return None
        host, source = urlsplit(url).hostname or "", urlsplit(mirror.source)
        if own(url, mirror):
            if mirror.credentials is not None:
                return self._by_name(mirror.credentials, mirror)
            if source.username:
                return Basic(
                    username=unquote(source.username), password=unquote(source.password or "")
                )
        found = self._auth_file.find(host) if self._auth_file else None
        match found:
            case OAuth():
                return Bearer(token=await self._fresh(found))
            case None | Unsupported():
                return self._netrc.find(host)
            case _:
                return found

    def _by_name(self, name: str, mirror: Mirror) -> Credential:
        found = self._named.get(name)
        if found is None:  # a request that began before the configuration was read again
            raise ConfigError(
                f"mirror {mirror.key} names credentials {name!r}, which are not there"
            )
        return found

    async def _fresh(self, oauth: OAuth) -> str:
        """An access token that is good for a while. Renewed once, however many ask."""
        if not self._expires_soon(oauth):
            return oauth.access_token
        assert self._auth_file is not None
        async with self._renewing:
            again = self._auth_file.entry(oauth.host)
            current = again if isinstance(again, OAuth) else oauth
            if not self._expires_soon(current):
                return current.access_token
            renewed = _renewed(current, await self._refresh(current), self._clock())
            await asyncio.to_thread(self._auth_file.store, renewed)
            return renewed.access_token

    def _expires_soon(self, oauth: OAuth) -> bool:
        due = oauth.expires_at is not None and oauth.expires_at - EARLY <= self._clock()
        return due and oauth.refresh_token is not None


class _Netrc:
    """`.netrc`, read again when it changes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._found: netrc.netrc | None = None

    def find(self, host: str) -> Basic | None:
        self._reload()
        login = self._found.authenticators(host) if self._found else None
        if not login or not login[2]:
            return None
        return Basic(username=login[0] or "", password=login[2])

    def _reload(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._found, self._seen = netrc.netrc(str(self._path)), seen
        except FileNotFoundError:
            self._found = self._seen = None
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error.strerror}") from error
        except (netrc.NetrcParseError, UnicodeDecodeError) as error:
            # The parser's own message may quote a password, so it is not even chained.
            line = f", line {error.lineno}" if isinstance(error, netrc.NetrcParseError) else ""
            raise ConfigError(f"{self._path}{line}: not of netrc's format") from None


def netrc_path(environ: Mapping[str, str]) -> Path | None:
    """The first of $NETRC, ~/.netrc and ~/_netrc that exists, as curl and rattler look for it."""
    given = environ.get("NETRC")
    home = Path(environ.get("HOME") or Path.home())
    candidates = [Path(given)] if given else [home / ".netrc", home / "_netrc"]
    return next((path for path in candidates if path.is_file()), None)


def _renewed(oauth: OAuth, answer: Mapping[str, object], now: float) -> OAuth:
    token, lasts = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str):
        raise UpstreamRefused(f"the token endpoint for {oauth.host} gave no access token")
    refresh = answer.get("refresh_token")
    return replace(
        oauth,
        access_token=token,
        refresh_token=refresh if isinstance(refresh, str) else oauth.refresh_token,
        # Anything else is no lifetime (RFC 6749 section 5.1 has seconds).
        expires_at=now + lasts
        if isinstance(lasts, int | float) and 0 <= lasts <= _LONGEST
        else None,
    )


def _bare(url: str) -> str:
    """*url* without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _with_token(url: str, token: str) -> str:
    """The token at the start of the path, unless the path has one already."""
    parts = urlsplit(url)
    if "/t/" in parts.path:
        return url
    return urlunsplit(parts._replace(path=f"/t/{token}{parts.path}"))
