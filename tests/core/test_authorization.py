"""Every place where a client's tools put a token is looked at, whatever else stands there."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.core.authorization import LONGEST, shown

TOKEN = "pkp-aB3dEfGh-" + "x" * 32


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("in_path", "headers", "expected"),
    [
        (None, {}, ()),
        ("", {}, ()),
        (TOKEN, {}, (TOKEN,)),
        (None, {"Authorization": f"Bearer {TOKEN}"}, (TOKEN,)),
        (None, {"authorization": f"bearer  {TOKEN} "}, (TOKEN,)),
        (None, {"Authorization": f"token {TOKEN}"}, (TOKEN,)),
        (None, {"Authorization": basic(f"anyone:{TOKEN}")}, (TOKEN,)),
        (None, {"Authorization": basic(f"__token__:{TOKEN}")}, (TOKEN,)),
        (None, {"Authorization": basic(f"{TOKEN}:")}, (TOKEN,)),
        (None, {"Authorization": basic(TOKEN)}, (TOKEN,)),
        (None, {"X-API-Key": TOKEN}, (TOKEN,)),
        ("p", {"X-API-Key": "k", "Authorization": "Bearer b"}, ("p", "k", "b")),
        # Something was shown, so that it counts as an attempt; it is no token.
        (None, {"Authorization": "Digest username=me"}, ("username=me",)),
        (None, {"Authorization": "Basic ****"}, ("",)),
        (None, {"Authorization": "Basic /w=="}, ("",)),
        # An empty scheme shows nothing.
        (None, {"Authorization": ""}, ()),
        (None, {"Authorization": "Bearer"}, ("",)),
    ],
)
def test_where_tokens_stand(
    in_path: str | None, headers: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert shown(in_path, CIMultiDict(headers)) == expected


@given(st.text(), st.text(max_size=LONGEST * 2))
def test_any_header_may_be_sent_and_little_of_it_is_looked_at(key: str, text: str) -> None:
    for one in shown(None, CIMultiDict({"Authorization": text, "X-API-Key": key})):
        assert len(one) <= LONGEST
