"""Machines: their markers, and the wheels that they take."""

from __future__ import annotations

import pytest
from packaging.markers import Marker, default_environment

from proxy.errors import ConfigError
from proxy.mirror.wanted.choosing import wheels_for
from proxy.mirror.wanted.targets import PLATFORMS, Target, platform_named, python_named
from tests.mirror.wanted.samples import LINUX

TAGS = [
    "cp312-cp312-manylinux1_x86_64",
    "cp312-cp312-manylinux2014_x86_64",
    "cp312-cp312-manylinux_2_28_x86_64",
    "cp312-cp312-manylinux_2_39_x86_64",
    "cp312-cp312-musllinux_1_2_x86_64",
    "cp312-cp312-manylinux_2_28_aarch64",
    "cp312-cp312-macosx_11_0_arm64",
    "cp312-cp312-macosx_14_0_arm64",
    "cp312-cp312-macosx_10_13_universal2",
    "cp312-cp312-win_amd64",
    "cp312-cp312-win_arm64",
    "cp313-cp313-manylinux_2_28_x86_64",
    "cp39-abi3-win_amd64",
    "py3-none-any",
]


def _chosen(platform: str, *tags: str) -> list[str]:
    target = Target(platform=PLATFORMS[platform], python="3.12")
    names = [f"a-1.0-{tag}.whl" for tag in tags]
    return [name[6:-4] for name in wheels_for(names, target)]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux-64", [TAGS[3], TAGS[2], TAGS[1]]),
        ("linux-aarch64", [TAGS[5], TAGS[13]]),
        ("osx-arm64", [TAGS[7], TAGS[6]]),
        ("osx-64", [TAGS[8]]),
        ("win-64", [TAGS[9]]),
        ("win-arm64", [TAGS[10]]),
        ("linux-s390x", [TAGS[13]]),
    ],
)
def test_each_age_of_machine_takes_its_best_wheel(platform: str, expected: list[str]) -> None:
    assert _chosen(platform, *TAGS) == expected


@pytest.mark.parametrize(
    ("platform", "tag", "taken"),
    [
        ("linux-64", "manylinux1_x86_64", True),
        ("linux-64", "manylinux_2_5_x86_64", True),
        ("linux-64", "manylinux_2_4_x86_64", False),
        ("linux-aarch64", "manylinux_2_17_aarch64", True),
        ("linux-aarch64", "manylinux2014_aarch64", True),
        ("linux-64", "linux_x86_64", True),
        ("osx-64", "macosx_10_4_intel", True),
        ("osx-arm64", "macosx_10_9_x86_64", False),
    ],
)
def test_old_tags_are_taken_as_far_as_the_standards_go(
    platform: str, tag: str, taken: bool
) -> None:
    wheel = f"cp312-cp312-{tag}"
    assert _chosen(platform, wheel) == ([wheel] if taken else [])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["cp39-abi3-win_amd64", "py3-none-any"], ["cp39-abi3-win_amd64"]),
        (["cp312-cp312-win_amd64", "cp39-abi3-win_amd64"], ["cp312-cp312-win_amd64"]),
        (["cp313-cp313-win_amd64"], []),
        (["cp312-cp312t-win_amd64"], []),
        (["pp310-pypy310_pp73-win_amd64"], []),
        ([], []),
    ],
)
def test_the_most_specific_tag_wins(tags: list[str], expected: list[str]) -> None:
    assert _chosen("win-64", *tags) == expected


def test_build_tags_break_ties_and_other_names_do_not_count() -> None:
    names = ["a-1.0-1-py3-none-any.whl", "a-1.0-10-py3-none-any.whl", "a-1.0-py3-none-any.whl"]
    assert wheels_for([*names, "a-1.0.whl", "a.tar.gz"], LINUX) == (names[1],)


def test_a_targets_environment_has_every_variable_of_markers() -> None:
    assert LINUX.environment.keys() == default_environment().keys()


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        ("linux-64", "sys_platform == 'linux' and platform_machine == 'x86_64'"),
        ("linux-aarch64", "platform_machine == 'aarch64' and os_name == 'posix'"),
        ("osx-arm64", "sys_platform == 'darwin' and platform_system == 'Darwin'"),
        ("win-64", "os_name == 'nt' and platform_machine == 'AMD64'"),
        ("win-64", "python_version >= '3.12' and python_full_version < '3.12.5'"),
        ("win-64", "implementation_name == 'cpython'"),
    ],
)
def test_markers_are_true_of_their_platform(platform: str, marker: str) -> None:
    target = Target(platform=PLATFORMS[platform], python="3.12")
    assert Marker(marker).evaluate(target.environment)


def test_a_micro_version_is_kept_for_markers_but_not_for_tags() -> None:
    target = Target(platform=PLATFORMS["linux-64"], python="3.12.7")
    assert (target.python_full, target.python_minor) == ("3.12.7", "3.12")
    assert wheels_for(["a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"], target)


@pytest.mark.parametrize("text", ["3", "2.7", "three", "3.12.1rc1", "3.12 ", ""])
def test_a_version_of_python_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write a version such as 3\.12"):
        python_named(text)


def test_an_unknown_platform_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="--platform linux: write one of linux-64"):
        platform_named("linux")
