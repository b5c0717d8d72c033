"""An allow-list closed over dependencies keeps what may be needed, and says through whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ecosystems.kept import Kept, key, read
from tests.ecosystems.conda_channels import CONDA, body_of, index_of, record

LINUX = {
    "app-1-0.conda": record("app", version="1", depends=["lib >=2", "tool"], sha256="a" * 64),
    "lib-1-0.conda": record("lib", version="1", sha256="b" * 64),
    "lib-2-0.conda": record("lib", version="2", depends=["deep"], sha256="c" * 64),
    "lib-3-0.conda": record("lib", version="3", depends=["deep", "__glibc"], sha256="d" * 64),
    "alone-1-0.conda": record("alone", version="1", sha256="e" * 64),
}
NOARCH = {
    "tool-1-0.conda": record("tool", version="1", depends=["not a spec >="], sha256="1" * 64),
    "deep-1-0.conda": record("deep", version="1", depends=["app"], sha256="2" * 64),
    "other-1-0.conda": record("other", version="1", sha256="3" * 64),
}
WINDOWS = {"wapp-1-0.conda": record("wapp", version="1", depends=["other"], sha256="4" * 64)}


def content(packages: dict[str, Any], subdir: str) -> dict[str, Any]:
    return {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages}


def kept(subdir: str, *specs: str, **channels: dict[str, Any]) -> list[Kept]:
    channels = channels or {"linux-64": LINUX, "noarch": NOARCH}
    listed = [
        (index_of(f"{name}/repodata.json"), body_of(content(packages, name)))
        for name, packages in channels.items()
    ]
    index = index_of(f"{subdir}/repodata.json")
    return read(CONDA.closed(index, listed, [specs]))[key(specs)]


def test_everything_that_may_be_needed_is_kept_and_nothing_else() -> None:
    found = {one.filename: one.through for one in kept("linux-64", "app")}
    assert found == {
        "app-1-0.conda": None,
        "lib-2-0.conda": "app 1",
        "lib-3-0.conda": "app 1",
        "tool-1-0.conda": "app 1",
        "deep-1-0.conda": "lib 2",
    }


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        (["alone"], {"alone"}),
        (["lib <2"], {"lib"}),
        (["al*"], {"alone"}),
        (["none"], set()),
        (["alone", "other"], {"alone", "other"}),
    ],
)
def test_specs_are_matchspecs(specs: list[str], names: set[str]) -> None:
    assert {one.name for one in kept("linux-64", *specs)} == names


def test_noarch_keeps_what_any_platform_needs_by_itself() -> None:
    channels = {"linux-64": LINUX, "noarch": NOARCH, "win-64": WINDOWS}
    names = {one.name for one in kept("noarch", "app", "wapp", **channels)}
    assert {"tool", "deep", "other"} <= names
    only_linux = kept("linux-64", "app", "wapp", **channels)
    assert "other" not in {one.name for one in only_linux}


def test_which_indexes_belong_together() -> None:
    known = ["linux-64/repodata.json", "label/rc/win-64/repodata.json", "x", "channeldata.json"]
    companions = CONDA.companions(index_of("linux-64/repodata.json"), known)
    assert companions == ("linux-64/repodata.json", "noarch/repodata.json")
    companions = CONDA.companions(index_of("noarch/repodata.json"), known)
    assert companions == ("linux-64/repodata.json", "noarch/repodata.json")
    labelled = CONDA.companions(index_of("label/rc/noarch/repodata.json"), known)
    assert labelled == ("label/rc/noarch/repodata.json", "label/rc/win-64/repodata.json")


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from("abcdef"), max_size=3),
        min_size=1,
    ),
    st.sampled_from("abcdef"),
)
def test_the_closure_is_what_a_walk_reaches(needs: dict[str, list[str]], start: str) -> None:
    packages = {
        f"{name}-1-0.conda": record(name, version="1", depends=depends, sha256=name * 64)
        for name, depends in needs.items()
    }
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in needs and name not in reached:
            reached.add(name)
            waiting += needs[name]
    assert {one.name for one in kept("linux-64", start, **{"linux-64": packages})} == reached
