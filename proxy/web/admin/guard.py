"""Who may administer: the token, and no page of another site in the operator's browser.

A browser that was given the token once gets a cookie that says so for a while. What changes
something is refused where the browser says that it comes from another site, and forms carry a
word that only our own pages know. Without a token the Host must be an address or a name of this
machine, or else a site could lend its name to our address (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping

from proxy.core.attempts import Attempts
from proxy.core.tokens import hashed
from proxy.errors import ProxyError, RequestError, TooManyAttempts

COOKIE = "pkgproxy-admin"
"""The cookie's name."""

SESSION = 12 * 3600.0
"""Seconds that a browser stays logged in: a working day."""

FAILURES = 20
"""Wrong tokens from one address in a minute after which it has to wait."""

_SAFE = ("GET", "HEAD")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/]*))(?::[0-9]*)?")


class NotForYou(RequestError):
    """The request comes from another site's page, or is for another host."""


class NoToken(ProxyError):
    """The request has no token, or not the right one."""


class Guard:
    """Checks requests by their headers."""

    def __init__(
        self,
        token: str | None,
        clock: Callable[[], float],
        *,
        hosts: frozenset[str] = frozenset(),
        holds: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """*hosts*: further names that requests may be for where no token is asked for.

        *holds*: whether another token is one for everything, and so for this.
        """
        self._token = token
        self._clock = clock
        self._hosts = hosts
        self._holds = holds
        self._attempts = Attempts(FAILURES)
        self._secret = secrets.token_bytes(32)

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    def check_origin(self, method: str, headers: Mapping[str, str], *, is_local: bool) -> None:
        """Refuse what another site's page asks for. Raises NotForYou.

        *is_local*: it came over the Unix socket, where no browser is.
        """
        host = headers.get("Host", "")
        if self._token is None and not is_local and not self._is_ours(host):
            raise NotForYou(
                f"{host[:200]!r} is not a name of this machine: write its address, "
                "or have a token asked for"
            )
        if method in _SAFE:
            return
        # Browsers say where a request comes from; other programs say nothing.
        site = headers.get("Sec-Fetch-Site", "none")
        origin = headers.get("Origin")
        foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
        if site not in ("none", "same-origin") or foreign:
            raise NotForYou("the request comes from a page of another site")

    def check_token(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], address: str
    ) -> None:
        """Raises NoToken and TooManyAttempts."""
        if self._token is None:
            return
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.admits(given.strip(), address):
            return
        if self._is_session(cookies.get(COOKIE, "")):
            return
        raise NoToken("the administration's token is asked for: Authorization: Bearer <token>")

    def admits(self, token: str, address: str) -> bool:
        """Whether *token*, which *address* sent, is a right one. Raises TooManyAttempts."""
        now, shown = self._clock(), hashed(token)
        wait = self._attempts.wait(address, shown, now)
        if wait > 0:
            raise TooManyAttempts("too many wrong tokens came from this address", retry_after=wait)
        expected = self._token or ""
        if _same(token, expected) or self._holds(token):
            self._attempts.succeeded(address, shown)
            return True
        self._attempts.failed(address, now)
        return False

    def session(self) -> str:
        """A cookie's value for a browser that gave the token."""
        ends = str(int(self._clock() + SESSION))
        return f"{ends}.{self._signed('session ' + ends)}"

    def _is_session(self, cookie: str) -> bool:
        ends, _, signature = cookie.partition(".")
        if not _same(signature, self._signed(f"session {ends}")):
            return False
        return self._clock() < int(ends)

    @property
    def word(self) -> str:
        """What our own forms carry."""
        return self._signed("form")

    def check_word(self, given: str) -> None:
        """Raises NotForYou."""
        if not _same(given, self.word):
            raise NotForYou("the form is not from this server as it runs now: load it again")

    def _signed(self, text: str) -> str:
        return hmac.new(self._secret, _bytes(text), hashlib.sha256).hexdigest()

    def _is_ours(self, host: str) -> bool:
        name = name_of(host)
        if name == "localhost" or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def name_of(host: str) -> str:
    """The name or address in a Host header, in lower case; "" where it is malformed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _same(one: str, other: str) -> bool:
    """Whether they are the same; takes as long whatever is different."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _bytes(text: str) -> bytes:
    """Also of what a header had that is no UTF-8."""
    return text.encode(errors="surrogateescape")
