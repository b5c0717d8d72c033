"""An index whose top level is found without reading it is read as any other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.policy import Names
from proxy.ecosystems.conda import repodata
from proxy.ecosystems.conda.outline import outline
from proxy.ecosystems.conda.text import objects
from proxy.errors import BadIndex
from tests.ecosystems.conda_channels import (
    CONTEXT,
    body_of,
    entries,
    real_indexes,
    record,
    render,
)
from tests.ecosystems.conda_channels import channel as channel_of
from tests.ecosystems.policies import MOMENT, deny, policy

CHANNEL = json.dumps(
    channel_of(
        packages={"a-1-0.tar.bz2": record("a"), "b-1-0.tar.bz2": record("b")},
        **{"packages.conda": {"a-2-0.conda": record("a"), "c-2-0.conda": record("c")}},
    )
).encode()
PIECES = (b"", b",", b", ", b"}", b"{", b'"', b":", b"\\", b"]", b"x", b"}, ")
FORMS = ("zst", "rows", "shards", "shardpack", "batches")


def members(text: bytes) -> dict[str, bytes] | None:
    """The outline, if the tables in it are tables."""
    found = outline(text)
    try:
        for raw in (found or {}).values():
            json.loads(bytes(raw))
    except ValueError:
        return None
    return None if found is None else {key: bytes(raw) for key, raw in found.items()}


def test_real_indexes_have_an_outline() -> None:
    outlined = 0
    for name, raw in real_indexes():
        found = members(raw)
        if found is not None:
            outlined += 1
            assert list(found.items()) == [
                (key, bytes(one)) for key, one in objects(raw, name).items()
            ]
    assert outlined > 3


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"packages": []}',
        b'{"packages": {}, "packages": {}}',
        b'{"info": {"packages": {}}, "packages": {}}',
        b'{"info": {"packages": {}}, "p\\u0061ckages": {}}',
        b'{"packages": {}, "info": "packages"}',
        b'["packages": {}]',
    ],
)
def test_what_is_not_plain_has_none(text: bytes) -> None:
    assert members(text) is None


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """The channel with some bytes of it changed, most of which are no JSON."""
    text = CHANNEL
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 5]))
        new = draw(
            st.sampled_from([b"", b",", b", ", b"}", b"{", b'"', b":", b"\\", b"]", b"x", b"}, "])
        )
        text = text[:at] + new + text[at + gone :]
    return text


def made(text: bytes) -> Any:
    rules = policy(deny(Names(("c",))))
    context = replace(CONTEXT, policy=rules, moment=MOMENT, seen_at=MOMENT)
    try:
        found = render(body_of(text), *FORMS, context=context)
    except BadIndex as error:
        return str(error)
    return {**found, "rows": entries(found)}


@settings(deadline=None, max_examples=300)
@example(CHANNEL)
@example(CHANNEL.replace(b'}, "b-1', b'},, "b-1'))
@example(CHANNEL.replace(b'}, "b-1', b'} "b-1'))
@example(CHANNEL.replace(b'"packages": {', b'"packages": {,'))
@example(CHANNEL.replace(b'}}, "packages.conda"', b'},}, "packages.conda"'))
@given(_damaged())
def test_damage_is_found_as_if_it_were_read(text: bytes) -> None:
    quick = made(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repodata, "outline", lambda text: None)
        assert made(text) == quick
