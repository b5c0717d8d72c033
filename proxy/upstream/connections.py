"""Connections to upstream: how many, how long they may take, whom they believe, which way."""

from __future__ import annotations

import ssl
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver

from proxy.config.upstream_settings import UpstreamSettings
from proxy.errors import ConfigError

READ_AHEAD = 128 << 10
"""Bytes that are buffered before reading from the socket stops (at twice that). The first batch is
hashed and written before its first byte goes on, so more of it would only delay that."""

_HEAD_LIMIT = 32 * 1024  # bytes of one header line: real ones stay below a tenth


def session_of(
    settings: UpstreamSettings, resolver: AbstractResolver, tls: ssl.SSLContext | Literal[True]
) -> aiohttp.ClientSession:
    """Connections of their own, which find names by *resolver*."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=settings.connections,
            limit_per_host=0,  # see `proxy.upstream.turns`
            resolver=resolver,
            ssl=tls,
        ),
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout + settings.read_timeout,  # with the wait for a slot
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        ),
        auto_decompress=True,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        trust_env=False,  # .netrc is ours to read; proxies are taken per request
        read_bufsize=READ_AHEAD,
        max_line_size=_HEAD_LIMIT,
        max_field_size=_HEAD_LIMIT,
    )


def tls_of(settings: UpstreamSettings) -> ssl.SSLContext | Literal[True]:
    """Whom TLS believes; True: whom this machine believes, which aiohttp has read already.

    Raises ConfigError where the CA bundle cannot be read.
    """
    if settings.ca_bundle is None:
        return True
    bundle = str(settings.ca_bundle)
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigError(f"upstream.ca_bundle: {bundle} cannot be read: {error}") from error


class Proxies:
    """The proxies that the environment names, as it is when this is made: a look at all of its
    variables takes longer than the rest of a request's preparation.
    """

    def __init__(self) -> None:
        self._known = getproxies()

    def find(self, url: str) -> str | None:
        """The one that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for *url*, if any."""
        if not self._known:
            return None
        parts = urlsplit(url)
        proxy = self._known.get(parts.scheme)
        if proxy is None or proxy_bypass(parts.netloc):
            return None
        return proxy


def bare(url: str) -> str:
    """*url* without user and password: those travel as a header, if at all."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
