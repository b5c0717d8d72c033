"""Who may have what: the one place that is asked, before anything is looked up or fetched.

Mirrors are public or need a token. Where a mirror is public no credential is even looked at.
Elsewhere a request without a token that holds is answered alike whether the mirror exists or not,
and so is one whose token is not for it: what a client may not see is, to it, not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from proxy.core.attempts import Attempts
from proxy.core.authorization import shown
from proxy.core.model import Mirror
from proxy.core.tokens import Action, Token, Tokens, hashed
from proxy.errors import TooManyAttempts, Unauthenticated, UnknownPath
from proxy.web.paths import Asked

HOW = "Basic with any user name, Bearer, X-API-Key, or /t/<TOKEN>/ in front of the path"


class Head(Protocol):
    """What is looked at of a request; aiohttp's is one."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def remote(self) -> str | None:
        """The client's address."""
        ...


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever sent a request. Without a token: anybody, and what is answered is for everybody."""

    token: Token | None = None

    @property
    def name(self) -> str:
        """The token's, for logs and metrics; "" for anybody."""
        return self.token.name if self.token is not None else ""


ANYBODY = Visitor()


class Access:
    """Decides by the tokens there are; `tokens` is replaced when they change."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        public: Iterable[str] = ("*",),
        tokens: Tokens | None = None,
        failures: int = 30,
        refused: Callable[[str], None] = lambda _cause: None,
    ) -> None:
        """*refused* hears why nobody was let in: `missing`, `wrong` or `limited`."""
        self._clock = clock
        self._tell_refused = refused
        self.tokens = Tokens() if tokens is None else tokens
        self.configure(public, failures)

    def __repr__(self) -> str:
        return f"<Access public={self._patterns} {self.tokens!r}>"

    def configure(self, public: Iterable[str], failures: int) -> None:
        """From now on mirrors that fit *public* need no token; *failures* a minute are allowed."""
        self._patterns = tuple(public)
        self._public: dict[str, bool] = {}
        self._attempts = Attempts(failures)

    @property
    def is_open(self) -> bool:
        """Whether everything that can be read is public."""
        return "*" in self._patterns

    def is_public(self, mirror: Mirror) -> bool:
        """Whether *mirror* may be read without a token."""
        known = self._public.get(mirror.key)
        if known is None:
            known = any(fnmatchcase(mirror.key, pattern) for pattern in self._patterns)
            self._public[mirror.key] = known
        return known

    def reader(self, asked: Asked, request: Head) -> Visitor:
        """Who wants to read *asked*, and may.

        Raises UnknownMirror where the visitor is not to see the mirror, or there is none;
        Unauthenticated and TooManyAttempts where nobody can tell who it is.
        """
        mirror = asked.mirror
        if self.is_open or (mirror is not None and self.is_public(mirror)):
            if mirror is None:
                raise asked.unknown()
            return ANYBODY
        token = self._holder(asked.token, request)
        if mirror is None or not token.allows(Action.READ, mirror.key):
            raise asked.unknown()
        return Visitor(token)

    def check(self, action: Action, request: Head, mirror: str = "") -> Visitor:
        """Whoever sent *request*, if they may do *action* (to the mirror with that key).

        Where everything is public, so are the metrics; writing and administration always need a
        token. Raises Unauthenticated, TooManyAttempts, and UnknownPath where the token holds but
        is not for that.
        """
        if action in (Action.READ, Action.METRICS) and self.is_open:
            return ANYBODY
        token = self._holder(None, request)
        if not token.allows(action, mirror):
            raise UnknownPath("there is nothing here")
        return Visitor(token)

    def visible(self, mirrors: Iterable[Mirror], request: Head) -> Iterator[Mirror]:
        """Those of *mirrors* that may be shown to whoever sent *request*.

        Raises Unauthenticated, also where nothing is public and no token was shown, and
        TooManyAttempts.
        """
        known = list(mirrors)
        public = [mirror for mirror in known if self.is_public(mirror)]
        if self.is_open or (public and not shown(None, request.headers)):
            return iter(public)
        token = self._holder(None, request)
        return (
            mirror
            for mirror in known
            if self.is_public(mirror) or token.allows(Action.READ, mirror.key)
        )

    def _holder(self, in_path: str | None, request: Head) -> Token:
        """The token that was shown. Raises Unauthenticated and TooManyAttempts."""
        texts = shown(in_path, request.headers)
        if not texts:
            self._tell_refused("missing")
            raise Unauthenticated(f"send a token: {HOW}")
        now, address = self._clock(), request.remote or ""
        wait = min(self._attempts.wait(address, hashed(text), now) for text in texts)
        if wait > 0:
            self._tell_refused("limited")
            raise TooManyAttempts("too many wrong tokens came from this address", retry_after=wait)
        for text in texts:
            token = self.tokens.find(text, now)
            if token is not None:
                self._attempts.succeeded(address, hashed(text))
                return token
        self._attempts.failed(address, now)
        self._tell_refused("wrong")
        raise Unauthenticated("the token is unknown, expired or revoked")
