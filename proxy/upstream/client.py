"""The one client that fetches: deadlines, retries, redirects, resumed bodies, our own words.

Nothing of a client's request reaches upstream but what the gateway puts into an `Ask`.
Credentials are matched for the host of each hop. A body is pulled chunk by chunk; where the
connection breaks it is resumed with Range and If-Range, so that what is yielded is one body.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver
from yarl import URL

from proxy.config.upstream_settings import UpstreamSettings
from proxy.core.model import Mirror, Validators
from proxy.core.urls import redacted
from proxy.errors import (
    Offline,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from proxy.upstream.circuits import Circuits
from proxy.upstream.connections import READ_AHEAD, Proxies, bare, session_of, tls_of
from proxy.upstream.guard import GuardedResolver, check, trusted
from proxy.upstream.heads import (
    conditions,
    failed,
    final,
    is_down,
    judge,
    length_of,
    target,
    validators_of,
)
from proxy.upstream.port import Ask, Reply
from proxy.upstream.retry import wait_before
from proxy.upstream.turns import Turns

REDIRECTS = 10
"""Hops that are followed; more is a loop."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class Observer(Protocol):
    """Hears of the traffic with upstream."""

    def requested(self, mirror: str, outcome: str, seconds: float) -> None: ...
    def received(self, mirror: str, count: int) -> None: ...
    def retried(self, mirror: str, cause: str) -> None: ...
    def tripped(self, host: str, error: UpstreamError) -> None: ...
    def closed(self, host: str, cause: str, seconds: float) -> None: ...


class Authority(Protocol):
    """Knows the credentials for an address."""

    async def for_url(self, url: str, mirror: Mirror) -> tuple[str, dict[str, str]]:
        """The address to ask and the headers to add."""
        ...


@dataclass(slots=True)
class _Body:
    """The state of one body while it is read and, where it breaks, resumed."""

    ask: Ask
    response: aiohttp.ClientResponse
    url: str
    validators: Validators
    length: int | None
    position: int = 0
    fruitless: int = 0
    waited: float = 0.0  # seconds for upstream, and the bytes that it sent in them
    brought: int = 0


class AiohttpUpstream:
    """See `proxy.upstream.port.Upstream`. Made in a running event loop."""

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        authority: Authority,
        observer: Observer,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
        resolver: Callable[[], AbstractResolver] = DefaultResolver,
    ) -> None:
        """*sleep* waits before another attempt, *rest* before a host that is down is tried.

        Raises ConfigError where the CA bundle cannot be read.
        """
        self._settings = settings
        self._authority = authority
        self._observer = observer
        self._proxies = Proxies() if settings.trust_env else None
        self._turns = Turns(settings.connections_per_host)
        self._sleep = sleep
        self._dice = dice
        # To get a slot, to connect, and to be answered.
        self._head_within = settings.connect_timeout + 2 * settings.read_timeout
        self.circuits = Circuits(
            settings.trip_after, observer=observer, clock=time.monotonic, sleep=rest
        )
        tls = tls_of(settings)
        # Two of them, because names that were resolved and connections that are open are shared
        # within one: what a mirror trusts must not be within reach of another that does not.
        self._trusting = session_of(settings, resolver(), tls)
        self._guarded = session_of(settings, GuardedResolver(resolver()), tls)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.circuits.aclose()
        await self._trusting.close()
        await self._guarded.close()

    @contextlib.asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        """See `proxy.upstream.port.Upstream.open`."""
        if ask.mirror.offline:
            raise Offline(f"{ask.mirror.key} is offline, and {redacted(ask.url)} is not here")
        started = time.perf_counter()
        outcome = "ok"
        body: _Body | None = None
        try:
            response, url = await self._asked(ask)
            outcome = "unchanged" if response.status == 304 else "ok"
            body = _Body(ask, response, url, validators_of(response), length_of(response, ask))
            yield Reply(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                url=redacted(url),
                length=body.length,
                chunks=self._chunks(body),
            )
        except UpstreamError as error:
            outcome = type(error).__name__
            raise
        finally:
            if body is not None:
                body.response.close() if _unread(body) else body.response.release()
            seconds = time.perf_counter() - started
            self._observer.requested(ask.mirror.key, outcome, seconds)

    # -- one answer ----------------------------------------------------------------------

    async def _asked(self, ask: Ask) -> tuple[aiohttp.ClientResponse, str]:
        """Send the request, again where that may help; the answer's head has been judged."""
        attempt = 1
        while True:
            try:
                return await self._followed(ask)
            except UpstreamError as error:
                attempt += 1
                wait = wait_before(attempt, error, self._settings, dice=self._dice())
                if wait is None:
                    raise
                self._observer.retried(ask.mirror.key, type(error).__name__)
                await self._sleep(wait)

    async def _followed(self, ask: Ask) -> tuple[aiohttp.ClientResponse, str]:
        """Follow redirects by hand: the address and the credentials of each hop are our own."""
        url = ask.url
        for _ in range(REDIRECTS):
            response = await self._heard(ask, url)
            if response.status not in (301, 302, 303, 307, 308):
                judge(response, ask, url)
                return response, url
            location = response.headers.get(hdrs.LOCATION)
            response.release()
            if not location:
                raise final(f"{redacted(url)} redirects to nowhere")
            url = target(url, location)
        raise final(f"{redacted(ask.url)} redirects more than {REDIRECTS} times")

    async def _heard(self, ask: Ask, url: str) -> aiohttp.ClientResponse:
        """One hop, unless its host is down; what becomes of it counts."""
        check(url, ask.mirror)
        self.circuits.check(url)
        try:
            response = await self._sent(ask, url)
        except (UpstreamFailed, UpstreamTimeout) as error:
            # What is no HTTP, or no address, says nothing of the host.
            if isinstance(error.__cause__, aiohttp.ClientConnectionError | OSError):
                self._count(error, ask, url)
            raise
        if is_down(response):
            self._count(failed(url, response.status), ask, url)
        elif ask.method == "HEAD" or response.status not in (200, 206):
            self.circuits.answered(url)  # else its body tells
        return response

    def _count(self, error: UpstreamError, ask: Ask, url: str) -> None:
        self.circuits.failed(url, error, partial(self._probe, ask, url))

    async def _probe(self, ask: Ask, url: str) -> None:
        """Whether the host of *url* is back. Raises UpstreamError where it is not."""
        response = await self._sent(replace(ask, method="HEAD", validators=Validators()), url)
        response.release()
        if is_down(response):
            raise failed(url, response.status)

    async def _sent(self, ask: Ask, url: str) -> aiohttp.ClientResponse:
        address, secret = bare(url), dict[str, str]()
        if not ask.anonymous:
            address, secret = await self._authority.for_url(url, ask.mirror)
        proxy = self._proxies.find(address) if self._proxies is not None else None
        # A proxy resolves the names itself; its own is the operator's choice.
        trusting = proxy is not None or trusted(url, ask.mirror)
        session = self._trusting if trusting else self._guarded
        try:
            # The library's deadlines are between two reads: a head may come byte by byte.
            async with asyncio.timeout(self._head_within):
                send = partial(
                    session.request,
                    ask.method,
                    URL(address, encoded=True),
                    headers={**conditions(ask), **ask.headers, **secret},
                    allow_redirects=False,
                    proxy=proxy,
                    # A digest is that of the bytes as they are kept upstream: a server that calls a
                    # .tar.gz an encoded .tar must not have it unpacked here (pip sees it so, too).
                    auto_decompress=not ask.verified,
                )
                return await self._in_turn(urlsplit(address).netloc, send)
        except UpstreamError:
            raise
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise UpstreamTimeout(f"{redacted(url)} did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(f"{redacted(url)}: {_why(error)}") from error

    async def _in_turn(
        self, host: str, send: Callable[[], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        """Send a request when it is its turn, which ends when its connection is free again."""
        give_back = await self._turns.take(host)
        try:
            response = await send()
        except BaseException:
            give_back()
            raise
        if response.connection is None:  # all of it is here
            give_back()
        else:
            response.connection.add_callback(give_back)
        return response

    # -- a body --------------------------------------------------------------------------

    async def _chunks(self, body: _Body) -> AsyncIterator[bytes]:
        """The whole body, resumed as often as that gets further."""
        broken = False
        while True:
            try:
                if broken:
                    await self._resumed(body)
                async for chunk in self._read(body):
                    yield chunk
                return
            except (UpstreamFailed, UpstreamTimeout) as error:
                spent = body.fruitless >= self._settings.resumes
                if spent or not error.retryable or not _resumable(body):
                    raise
                broken = True
                body.fruitless += 1
                self._observer.retried(body.ask.mirror.key, f"resume_{type(error).__name__}")

    async def _resumed(self, body: _Body) -> None:
        """Wait and resume: that is time in which upstream sends nothing."""
        since = time.perf_counter()
        await self._sleep(self._settings.backoff * body.fruitless * self._dice())
        anew = await self._resume(body)
        self._pace(body, since)
        if anew:
            await self._skip(body)

    def _pace(self, body: _Body, since: float, count: int = 0) -> None:
        """Raises UpstreamTimeout where upstream sends, but less than is worth waiting for.

        What a client takes its time for does not count.
        """
        body.waited += time.perf_counter() - since
        body.brought += count
        if body.waited < self._settings.read_timeout:
            return
        if body.brought < self._settings.slowest * body.waited:
            slow = UpstreamTimeout(f"{redacted(body.ask.url)} sends too slowly")
            slow.retryable = False
            raise slow
        body.waited, body.brought = 0.0, 0

    async def _read(self, body: _Body) -> AsyncIterator[bytes]:
        url = redacted(body.ask.url)
        start = body.position
        try:
            while True:
                since = time.perf_counter()
                chunk = await body.response.content.readany()
                if not chunk:
                    break
                self.circuits.answered(body.url)
                self._pace(body, since, len(chunk))
                body.position += len(chunk)
                body.fruitless = 0
                self._observer.received(body.ask.mirror.key, len(chunk))
                yield chunk
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            late = UpstreamTimeout(f"{url} stopped sending")
            if body.position == start:
                self._count(late, body.ask, body.url)
            raise late from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(f"{url} broke off: {_why(error)}") from error
        self.circuits.answered(body.url)
        whole = body.ask.method == "HEAD" or body.length in (None, body.position)
        if not whole:
            raise UpstreamFailed(f"{url} sent {body.position} of {body.length} bytes")

    async def _resume(self, body: _Body) -> bool:
        """Ask for the rest; whether all of it comes instead. Raises UpstreamFailed where upstream
        has another file by now.
        """
        body.response.close()
        validator = body.validators.etag if body.validators.strong else None
        validator = validator or body.validators.last_modified
        headers = {**body.ask.headers, hdrs.RANGE: f"bytes={body.position}-"}
        if validator:
            headers[hdrs.IF_RANGE] = validator
        # An answer to a Range may be 206 or, where upstream has changed or cannot, 200.
        ask = replace(body.ask, headers=headers, validators=Validators(), byte_range="resume")
        body.response, body.url = await self._asked(ask)
        if body.response.status == 206:
            found = _CONTENT_RANGE.fullmatch(body.response.headers.get(hdrs.CONTENT_RANGE, ""))
            etag = body.response.headers.get(hdrs.ETAG)
            same = (
                found is not None
                and int(found[1]) == body.position
                and (body.length is None or found[3] in ("*", str(body.length)))
                # Some servers do not heed If-Range (RFC 9110 section 13.1.5).
                and (not body.validators.strong or etag in (None, body.validators.etag))
            )
            if not same:
                raise final(f"{redacted(ask.url)} resumed at another place or file")
            return False
        if not body.ask.verified:
            raise final(f"{redacted(ask.url)} has changed while it was fetched")
        return True

    async def _skip(self, body: _Body) -> None:
        """From the start again, up to where we were; the digest at the end is the judge."""
        left = body.position
        while left:
            since = time.perf_counter()
            try:
                piece = await body.response.content.read(min(left, READ_AHEAD))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise UpstreamFailed(f"{redacted(body.ask.url)}: {_why(error)}") from error
            if not piece:
                raise UpstreamFailed(f"{redacted(body.ask.url)} has become shorter")
            left -= len(piece)
            self._pace(body, since, len(piece))


def _resumable(body: _Body) -> bool:
    encoded = hdrs.CONTENT_ENCODING in body.response.headers
    known = body.validators.strong or body.validators.last_modified is not None
    return (
        body.ask.method == "GET"
        and body.ask.byte_range is None
        and not encoded
        and (known or body.ask.verified)
    )


def _unread(body: _Body) -> bool:
    return not body.response.content.at_eof()


def _why(error: BaseException) -> str:
    """What went wrong, without addresses: those in the library's text are not redacted."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__} {reason}".strip()
