"""Whatever the file of credentials holds, it is read or refused in our own words."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.errors import ConfigError
from proxy.upstream.authfile import AuthFile, OAuth

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
_FIELDS = (
    "username",
    "password",
    "access_token",
    "refresh_token",
    "expires_at",
    "token_endpoint",
    "client_id",
)
_KINDS = st.sampled_from(["BearerToken", "CondaToken", "BasicHTTP", "OAuth", "S3Credentials", "x"])
_CREDENTIALS = st.dictionaries(
    _KINDS, _VALUES | st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=4), max_size=2
)
# A busy machine is slow, which says nothing of what is tested.
_FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_HOSTS = st.sampled_from(["c.example.org", "*.example.org", "*.org", "", "*"])
GOOD = {"access_token": "a", "token_endpoint": "https://t.example.org/", "client_id": "c"}


def looked_up(content: bytes) -> None:
    """Read the file, and write a token back into it if it has one."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "auth.json"
        path.write_bytes(content)
        with contextlib.suppress(ConfigError):
            found = AuthFile(path).find("c.example.org")
            if isinstance(found, OAuth):
                AuthFile(path).store(found)


@_FUZZ
@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"\xff\xfe{}")
def test_any_bytes(content: bytes) -> None:
    looked_up(content)


@_FUZZ
@given(st.dictionaries(_HOSTS, _VALUES | _CREDENTIALS, max_size=3))
@example({"*": {"OAuth": {**GOOD, "expires_at": 10**400}}})
@example({"*.org": {"OAuth": {**GOOD, "expires_at": float("inf")}}})
@example({"*.org": {"OAuth": {**GOOD, "expires_at": float("nan")}}})
@example({"*.org": {"OAuth": {**GOOD, "expires_at": "1e999"}}})
def test_any_credentials(content: Any) -> None:
    looked_up(json.dumps(content).encode())


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000])
def test_deep_nesting_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auth.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not readable JSON"):
        AuthFile(path).find("c.example.org")
