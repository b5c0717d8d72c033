"""Asks a token endpoint for a new access token (RFC 6749 section 6)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from proxy.core.urls import redacted
from proxy.errors import UpstreamFailed, UpstreamRefused
from proxy.upstream.authfile import OAuth

PATIENCE = 20.0
"""Seconds that the whole exchange may take: requests wait for it."""


async def refresh(oauth: OAuth) -> Mapping[str, object]:
    """The endpoint's answer. Raises UpstreamRefused and UpstreamFailed."""
    shown = redacted(oauth.token_endpoint)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": oauth.refresh_token or "",
        "client_id": oauth.client_id,
    }
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(oauth.token_endpoint, data=form, allow_redirects=False) as response,
        ):
            if response.status in (400, 401, 403):
                raise UpstreamRefused(f"{shown} refused to renew the token for {oauth.host}")
            if response.status != 200:
                raise UpstreamFailed(f"{shown} answered {response.status} to a token request")
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
        raise UpstreamFailed(f"{shown} gave no token: {type(error).__name__}") from error
    if not isinstance(answer, dict):
        raise UpstreamFailed(f"{shown} gave no JSON object")
    return answer
