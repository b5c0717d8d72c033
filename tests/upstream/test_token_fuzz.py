"""Whatever a token endpoint answers, it renews the token or is refused in our own words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamFailed
from proxy.upstream.authfile import OAuth
from proxy.upstream.credentials import _renewed
from proxy.upstream.oauth import refresh
from tests.lab.scripted import Answer, Scripted

_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
OLD = OAuth(
    host="c.example.org",
    access_token="old",
    refresh_token="r",
    expires_at=None,
    token_endpoint="https://t.example.org/",
    client_id="c",
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["access_token", "expires_in", "refresh_token"]), _VALUES))
@example({"access_token": "new", "expires_in": 10**400})
@example({"access_token": "new", "expires_in": math.inf})
@example({"access_token": "new", "expires_in": math.nan})
@example({"access_token": "new", "expires_in": -(10**400)})
def test_any_answer(answer: dict[str, Any]) -> None:
    with contextlib.suppress(UpstreamError):
        found = _renewed(OLD, answer, 1_000_000.0)
        assert found.expires_at is None or math.isfinite(found.expires_at)
        json.dumps(found.access_token)


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"[]", b"\xff", b"<html>"])
def test_a_body_that_is_no_answer(body: bytes) -> None:
    async def main() -> None:
        async with Scripted() as server:
            server.play("/", Answer(body=body))
            with pytest.raises(UpstreamFailed):
                await refresh(
                    OAuth(
                        host="h",
                        access_token="a",
                        refresh_token=None,
                        expires_at=None,
                        token_endpoint=server.url("/"),
                        client_id="c",
                    )
                )

    asyncio.run(main())
