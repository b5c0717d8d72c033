"""Environments solved on a channel in a folder, for this platform and others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.mirror.wanted.solving import Solution, Solver, Unsolved, virtual_packages
from proxy.mirror.wanted.targets import PLATFORMS
from tests.lab.channel import Recipe, build_channel
from tests.lab.server import free_port

RECIPES = (
    Recipe(name="python", version="3.12.4", subdir="linux-64"),
    Recipe(name="python", version="3.12.4", subdir="win-64"),
    Recipe(name="native", depends=("__glibc >=2.28", "python"), subdir="linux-64"),
    Recipe(name="native", version="2.0", depends=("__glibc >=2.99",), subdir="linux-64"),
    Recipe(name="native", depends=("__win", "python"), subdir="win-64"),
    Recipe(name="native", depends=("__osx >=13",), subdir="osx-arm64"),
    Recipe(name="everywhere"),
)


def _solved(folder: Path, platform: str, *specs: str) -> Solution:
    if not (folder / "channel").exists():
        build_channel(folder / "channel", RECIPES)
    channel = (folder / "channel").as_uri()

    async def main() -> Solution:
        solver = Solver(folder / "kept")
        return await solver.solve([channel], specs, PLATFORMS[platform])

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("platform", "files", "python"),
    [
        ("linux-64", ["everywhere-1.0-0.conda", "native-1.0-0.conda", "python-3.12.4-0.conda"], 1),
        ("win-64", ["everywhere-1.0-0.conda", "native-1.0-0.conda", "python-3.12.4-0.conda"], 1),
        ("osx-arm64", ["everywhere-1.0-0.conda", "native-1.0-0.conda"], 0),
    ],
)
def test_each_platform_has_its_packages_and_noarch(
    tmp_path: Path, platform: str, files: list[str], python: int
) -> None:
    solution = _solved(tmp_path, platform, "native", "everywhere")
    assert sorted(one.url.rpartition("/")[2] for one in solution.files) == files
    subdirs = {one.url.split("/")[-2] for one in solution.files}
    assert subdirs == {platform, "noarch"}
    assert all(len(one.sha256 or "") == 64 for one in solution.files)
    assert solution.python == ("3.12.4" if python else None)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unsolved, match="everywhere >2"):
        _solved(tmp_path, "linux-64", "everywhere >2")
    with pytest.raises(Unsolved, match="native"):
        _solved(tmp_path, "linux-aarch64", "native")


def test_a_token_in_an_address_is_not_shown(tmp_path: Path) -> None:
    async def main() -> None:
        channel = f"http://127.0.0.1:{free_port()}/t/SECRET/lab"
        await Solver(tmp_path).solve([channel], ["a"], PLATFORMS["linux-64"])

    with pytest.raises(Unsolved) as caught:
        asyncio.run(main())
    assert "/t/***/lab" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_virtual_packages(platform: str) -> None:
    names = {str(one).partition("=")[0] for one in virtual_packages(PLATFORMS[platform])}
    assert names & {"__unix", "__win"}
