"""No secret survives redaction, and nothing makes it raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.urls import redacted, scrubbed


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://h.example.org/a/b.conda", "https://h.example.org/a/b.conda"),
        ("https://h.example.org:8443/a/", "https://h.example.org:8443/a/"),
        ("https://user:S3CRET@h.example.org/a", "https://h.example.org/a"),
        ("https://S3CRET@h.example.org/a", "https://h.example.org/a"),
        ("https://a@b:S3CRET@h.example.org/a", "https://h.example.org/a"),
        ("https://h.example.org/t/S3CRET/main/x", "https://h.example.org/t/***/main/x"),
        ("https://h.example.org/t/S3CRET", "https://h.example.org/t/***"),
        ("https://h.example.org/repo/t/S3CRET/main", "https://h.example.org/repo/t/***/main"),
        ("https://h.example.org/repo/t//S3CRET/main", "https://h.example.org/repo/t//***/main"),
        ("https://h.example.org/a%2Ft%2FS3CRET%2Fb", "https://h.example.org/a%2Ft%2F***%2Fb"),
        ("/t/S3CRET/conda/main", "/t/***/conda/main"),
        ("t/S3CRET/conda/main", "t/***/conda/main"),
        ("https://h.example.org/a?sig=S3CRET&x#S3CRET", "https://h.example.org/a?***"),
        ("/a?sig=S3CRET", "/a?***"),
        ("user:S3CRET@h.example.org/a", "h.example.org/a"),
        ("//user:S3CRET@h.example.org/a", "//h.example.org/a"),
        ("https://user:S3CRET/x@h.example.org/a", "https://***"),
        ("https://[S3CRET/a", "https://***"),
        ("https://h.example.org:S3CRET/", "https://***"),
        ("linux-64/numpy-2.0-py312_0.conda", "linux-64/numpy-2.0-py312_0.conda"),
        ("/npm/@scope/name", "/npm/@scope/name"),
        ("https://h.example.org/test/state/x", "https://h.example.org/test/state/x"),
        ("", ""),
    ],
)
def test_secrets_go_and_the_rest_stays(url: str, safe: str) -> None:
    assert redacted(url) == safe
    assert redacted(safe) == safe


@given(st.text())
def test_any_text_is_redacted_without_raising(text: str) -> None:
    redacted(text)
    redacted(f"https://{text}")
    scrubbed(text)


@given(st.from_regex(r"[A-Za-z0-9_.~-]{8,20}", fullmatch=True))
def test_a_secret_in_a_known_place_never_shows(secret: str) -> None:
    secret = f"zq{secret}9"
    for url in (
        f"https://u:{secret}@h.example.org/x",
        f"https://{secret}@h.example.org/x",
        f"https://h.example.org/t/{secret}/x",
        f"https://h.example.org/deep/er/t/{secret}/x?token={secret}#{secret}",
    ):
        assert secret not in redacted(url)
        assert secret not in scrubbed(f"cannot reach {url}: refused ({url})")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer S3CRETS3CRET",
        "{'Authorization': 'Basic UzNDUkVU S3CRET'}",
        "sent Bearer S3CRETS3CRET, got 401",
        "sent bearer S3CRET0 and failed",
        "token S3CRETS3CRET was refused",
        "password=S3CRET&x=1",
        '{"api_key": "S3CRET"}',
        "X-API-Key: S3CRET",
        "cookie: session=S3CRET; other=S3CRET",
        "pypi-S3CRETS3CRETS3CRETS3CRET",
        "pkp-S3CRET12-S3CRETS3CRETS3CRETS3CRET",
        "GET /t/S3CRET/conda/x",
        "at https://u:S3CRET@h.example.org/x now",
    ],
)
def test_credentials_in_prose_are_masked(text: str) -> None:
    assert "S3CRET" not in scrubbed(text)
    assert "***" in scrubbed(text) or "h.example.org" in scrubbed(text)


@pytest.mark.parametrize(
    "text",
    [
        "token expired",
        "basic checks passed",
        "conda/main linux-64/python-3.12-h1.conda",
        "tokenizers-0.21-cp39-abi3-manylinux.whl",
        "2026-01-01T00:00:00Z took 3.5 s",
        "https://h.example.org/linux-64/repodata.json.zst",
    ],
)
def test_innocent_prose_is_left_alone(text: str) -> None:
    assert scrubbed(text) == text
