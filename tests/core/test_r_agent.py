"""Which R a User-Agent names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.r_agent import chooses_by_agent, may_be_r, r_agent

LINUX = "R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)"


@pytest.mark.parametrize(
    "agent",
    [
        LINUX,
        f"R/4.5.1 {LINUX}",
        f"R/4.5.1 ({LINUX})",
        f"renv (1.2.4); {LINUX}",
        f"RStudio Desktop (2026.5.0.1); {LINUX}",
        f"{LINUX} on GitHub Actions",
    ],
)
def test_r_is_found_in_what_others_put_around_it(agent: str) -> None:
    found = r_agent(agent)
    assert found is not None
    assert found == (LINUX, "R 4.5 x86_64-pc-linux-gnu x86_64 linux-gnu")
    assert may_be_r(agent)


@pytest.mark.parametrize("patch", ["4.5.0", "4.5.2", "4.5.2-devel"])
def test_a_patch_of_r_takes_the_same_binaries(patch: str) -> None:
    found = r_agent(f"R ({patch} x86_64-pc-linux-gnu x86_64 linux-gnu)")
    assert found is not None
    assert found.platform == "R 4.5 x86_64-pc-linux-gnu x86_64 linux-gnu"


@pytest.mark.parametrize(
    "agent", ["R (4.6.0 x86_64-pc-linux-gnu x86_64 linux-gnu)", "R (4.5.1 aarch64-linux aarch64)"]
)
def test_another_minor_version_or_platform_does_not(agent: str) -> None:
    first, second = r_agent(LINUX), r_agent(agent)
    assert first is not None
    assert second is not None
    assert first.platform != second.platform


@pytest.mark.parametrize(
    ("agent", "may_be"),
    [
        ("", False),
        ("libcurl/8.5.0", True),  # what R says where HTTPUserAgent has not been set
        ("curl/8.5.0", False),
        ("pip/26.3", False),
        ("R", False),
        ("R (4.5)", False),
        ("R (x y z)", False),
        (f"R (4.5.1 {'x' * 300})", False),
        ("R (4.5.1 x\r\nY: z)", False),
    ],
)
def test_others_name_none(agent: str, may_be: bool) -> None:
    assert r_agent(agent) is None
    assert may_be_r(agent) is may_be


def test_addresses_of_binaries_for_linux_are_known_by_their_paths() -> None:
    host = "https://r.example.org"
    assert chooses_by_agent(f"{host}/cran/__linux__/noble/latest/src/contrib/a_1.0.tar.gz")
    assert not chooses_by_agent(f"{host}/cran/latest/src/contrib/a_1.0.tar.gz")
    assert not chooses_by_agent(f"{host}/cran/latest/bin/linux/noble-x86_64/4.5/PACKAGES")


@given(st.text() | st.text().map("R (4.5.1 {})".format))
def test_what_goes_upstream_is_a_header_s_value(agent: str) -> None:
    found = r_agent(agent)
    if found is not None:
        assert found.text.isascii()
        assert found.text.isprintable()
        assert "\t" not in found.platform
