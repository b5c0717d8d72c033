"""A running proxy asked as its clients ask it, for commands that work through one.

What it refuses or fails to do comes back in the words of `proxy.errors`, read from the problem
details that it sends. Bodies of files are hashed and dropped: they are kept at the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
import msgspec
from yarl import URL

from proxy import __version__
from proxy.core.telling import sooner
from proxy.core.urls import redacted
from proxy.errors import (
    Blocked,
    ConfigError,
    Denied,
    IntegrityError,
    ProxyError,
    UpstreamFailed,
    UpstreamMissing,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
)
from proxy.upstream.served import ADMINISTRATION, Pulled, Refused, Served

_EXPLAIN = "/api/v1/policy/explain"
_CONNECT = 10.0  # seconds
_SILENT = 300.0  # seconds: an index that the server fetches and renders first keeps it silent
_ATTEMPTS = 4  # of one request, where the server says that it may help
_PATIENCE = 30.0  # seconds that its Retry-After is believed
_LARGEST = 512 << 20  # bytes of a body that is read into memory
_CHUNK = 1 << 20  # bytes

T = TypeVar("T")


class _Mirror(msgspec.Struct):
    type: str
    name: str
    source: str


class _Listing(msgspec.Struct):
    mirrors: list[_Mirror]


class _Verdict(msgspec.Struct):
    effect: str
    rule: str
    reason: str
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Explained(msgspec.Struct):
    files: list[_Verdict]


class RunningProxy:
    """One server at *url*. Use it as an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        token: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*url* may hold a user and password, or a token in its path. *token* is shown to it.

        Raises ConfigError.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"--url {redacted(url)}: write an address such as http://127.0.0.1:8080"
            )
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self.headers: Mapping[str, str] = (
            {} if token is None else {"Authorization": f"Bearer {token}"}
        )
        self._connections = connections
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENT),
            headers={"User-Agent": f"pkgproxy/{__version__} prefetch", **self.headers},
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def mirrors(self) -> tuple[Served, ...]:
        """What its front page lists. Raises ProxyError, at once where nobody is there."""
        body = await self._read(f"{self.url}/", "application/json")
        try:
            listed = msgspec.json.decode(body, type=_Listing).mirrors
        except msgspec.MsgspecError as error:
            raise UpstreamFailed(f"{redacted(self.url)} is no pkgproxy: {error}") from error
        return tuple(
            # Its own idea of its address may be another than the one that leads there from here.
            Served(
                type=it.type, name=it.name, source=it.source, url=f"{self.url}/{it.type}/{it.name}/"
            )
            for it in listed
        )

    async def refused(self, mirror: str, package: str) -> tuple[Refused, ...]:
        """See `proxy.upstream.served.Server.refused`."""
        query = urlencode({"mirror": mirror, "package": package})
        try:
            body = await self.read(f"{self.url}{_EXPLAIN}?{query}")
            files = msgspec.json.decode(body, type=_Explained).files
        except (ProxyError, msgspec.MsgspecError):
            return ()  # only an explanation; a server may keep its policies to itself
        hidden = [one for one in files if one.effect == "deny"]
        ends: dict[tuple[str, str], int | None] = {}
        for one in hidden:
            end = None if one.until is None else int(one.until.timestamp())
            ends[one.rule, one.reason] = sooner(ends.get((one.rule, one.reason)), end)
        counts = Counter((one.rule, one.reason) for one in hidden)
        return tuple(
            Refused(rule=rule, reason=reason, files=count, until=ends[rule, reason])
            for (rule, reason), count in counts.most_common()
        )

    async def read(self, url: str, *, accept: str = "*/*") -> bytes:
        """The whole body. Raises ProxyError."""
        return await self._patiently(lambda: self._read(url, accept))

    async def pull(self, url: str) -> Pulled:
        """Read the body and drop it. Raises ProxyError."""
        return await self._patiently(lambda: self._pull(url))

    async def _read(self, url: str, accept: str) -> bytes:
        async with self._opened(url, accept) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > _LARGEST:
                    raise IntegrityError(f"{redacted(url)} has more than {_LARGEST >> 20} MB")
            return bytes(body)

    async def _pull(self, url: str) -> Pulled:
        digest, size = hashlib.sha256(), 0
        async with self._opened(url, "*/*") as response:
            async for chunk in response.content.iter_chunked(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
            here = "; hit" in response.headers.get("Cache-Status", "")
        return Pulled(size=size, sha256=digest.hexdigest(), here=here)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Try again where the server is throttled, stopping, or broke off."""
        attempt = 1
        while True:
            try:
                return await work()
            except (UpstreamThrottled, UpstreamFailed, UpstreamTimeout) as error:
                attempt += 1
                if attempt > _ATTEMPTS or not error.retryable:
                    raise
                wait = getattr(error, "retry_after", None) or 0.5 * attempt
                await self._sleep(min(wait, _PATIENCE))

    @contextlib.asynccontextmanager
    async def _opened(self, url: str, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose status is 200. Raises ProxyError."""
        assert self._session is not None, "the proxy was not opened"
        # gzip would be undone here; a file must be hashed as it is kept.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        try:
            async with self._session.get(URL(url, encoded=True), headers=headers) as response:
                if response.headers.get("Server") == ADMINISTRATION:
                    raise UpstreamRefused(
                        f"{redacted(url)} is the administration's address of a pkgproxy; write the "
                        "one that its clients have ([server] in its configuration)"
                    )
                if response.status != 200:
                    raise _problem(url, response, await response.content.read(_CHUNK))
                yield response
        except TimeoutError as error:
            raise UpstreamTimeout(f"{redacted(url)} did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(f"{redacted(url)}: {error}") from error


def _problem(url: str, response: aiohttp.ClientResponse, body: bytes) -> ProxyError:
    """What the server's problem details (RFC 9457) come to."""
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        told = {}
    status = response.status
    detail = told.get("detail") or f"{redacted(url)} answers {status} {response.reason}"
    rule, reason = told.get("rule"), told.get("reason", "")
    match status:
        case 403 | 451 if rule is not None:
            refused = Blocked if status == 451 else Denied
            filename = told.get("filename") or urlsplit(url).path.rpartition("/")[2]
            return refused(filename, rule=rule, reason=reason)
        case 401:
            return UpstreamRefused(detail)
        case 404 | 410:
            return UpstreamMissing(detail, gone=status == 410)
        case 429 | 503:
            return UpstreamThrottled(detail, retry_after=_seconds(response))
        case 504:
            return UpstreamTimeout(detail)
        case _:
            failed = UpstreamFailed(detail)
            failed.retryable = status >= 500
            return failed


def _seconds(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
