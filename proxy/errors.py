"""What can go wrong, in the proxy's own words.

Every error raised on purpose derives from `ProxyError`. No HTTP numbers here: the one
table that turns these into status codes is `proxy/web/errors.py`. Messages never hold a
secret: whoever puts a URL into one redacts it first (`proxy.core.urls.redacted`).
"""

from __future__ import annotations


class ProxyError(Exception):
    """Base of every error this package raises on purpose."""


# -- what the client asked ---------------------------------------------------------------


class RequestError(ProxyError):
    """The client asked for something we do not serve."""


class UnknownMirror(RequestError):
    """No mirror of that type and name is configured."""


class UnknownPath(RequestError):
    """The mirror exists, but its type has no file of that form."""


class MethodNotAllowed(RequestError):
    """Only GET and HEAD read a mirror."""


class NotAcceptable(RequestError):
    """None of the forms we can make is acceptable to the client (RFC 9110 section 15.5.7)."""


class RangeNotSatisfiable(RequestError):
    """The range lies outside the representation, which is `length` bytes long."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the range lies outside the {length} bytes of this file")
        self.length = length


class Unauthenticated(RequestError):
    """What was asked for is not public, and no token, or none that holds, was shown."""


class TooManyAttempts(RequestError):
    """Too many wrong tokens came from the client's address; `retry_after` seconds will help."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overlong(RequestError):
    """The head of a request is longer than any that makes sense."""


class Denied(ProxyError):
    """Policy refused this file. `rule` and `reason` are what the client is shown; `until`: where
    it will be old enough one day, when (seconds since the epoch).
    """

    def __init__(
        self, filename: str, *, rule: str, reason: str = "", until: int | None = None
    ) -> None:
        super().__init__(
            f"{filename} is refused by rule {rule}" + (f": {reason}" if reason else "")
        )
        self.filename = filename
        self.rule = rule
        self.reason = reason
        self.until = until


class Blocked(Denied):
    """Policy leaves nothing of what the index lists, and the operator wants that to be said."""


# -- what upstream did -------------------------------------------------------------------


class UpstreamError(ProxyError):
    """Upstream did not give us the body. `retryable` says whether asking again may help."""

    retryable = False


class UpstreamMissing(UpstreamError):
    """Upstream says there is no such file (404), or no longer (410: `gone`)."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class UpstreamRefused(UpstreamError):
    """Upstream refused *our* credential or address (401, 403): the operator must act.

    `unasked`: a 403 to a request that carried no credential. Some servers, those on object stores
    above all, answer so for what does not exist.
    """

    def __init__(self, message: str, *, unasked: bool = False) -> None:
        super().__init__(message)
        self.unasked = unasked


class UpstreamForbidden(UpstreamError):
    """Our own rules refuse to contact that address (an open relay, a private network)."""


class UpstreamFailed(UpstreamError):
    """5xx, a connection that broke, TLS, DNS, or an answer that makes no sense."""

    retryable = True


class UpstreamTimeout(UpstreamError):
    """A deadline passed while connecting or between two reads."""

    retryable = True


class UpstreamThrottled(UpstreamError):
    """Upstream asked for patience (429, 503 with Retry-After): `retry_after` seconds."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamDown(UpstreamError):
    """Upstream has failed so often that it is not asked; it may be in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Offline(UpstreamError):
    """It is not here, and the operator wants this mirror never to go upstream."""


# -- what we hold ------------------------------------------------------------------------


class IntegrityError(ProxyError):
    """The body is not the one its index promised (size or digest)."""


class BadIndex(IntegrityError):
    """An index body that cannot be read: truncated, not of its format, or hostile."""


class StorageError(ProxyError):
    """Our own disk or catalog failed."""


class Abandoned(ProxyError):
    """The server stopped the work itself (shutdown)."""


class Crowded(ProxyError):
    """More clients have connected than there is room for, and all of them are being served."""


# -- what the operator wrote -------------------------------------------------------------


class ConfigError(ProxyError):
    """A setting is wrong. The message says which file, key and line, and what to write."""


# -- what the administrator asked --------------------------------------------------------


class Conflict(ProxyError):
    """What was asked does not go with how things stand: a run goes on, a mirror is frozen."""


class UnknownRun(RequestError):
    """No run of that name is remembered."""


class UnknownPrefetch(RequestError):
    """No prefetch of that id is remembered."""


UNOBTAINABLE = (UpstreamError, IntegrityError, ConfigError)
"""Why something cannot be had from upstream now; what is held may stand in for it."""
