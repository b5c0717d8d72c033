"""Which mirror is meant by a type, a channel's name, or an address elsewhere."""

from __future__ import annotations

import pytest

from proxy.errors import ConfigError
from proxy.mirror.wanted.places import Places
from proxy.upstream.served import Served

BASE = "http://proxy.example.org"
FORGE = "https://conda.anaconda.org/conda-forge"


def _served(kind: str, name: str, source: str) -> Served:
    return Served(type=kind, name=name, source=source, url=f"{BASE}/{kind}/{name}/")


SERVED = (
    _served("conda", "conda-forge", f"{FORGE}/"),
    _served("conda", "main", "https://repo.anaconda.com/pkgs/main/"),
    _served("conda", "r", "https://repo.anaconda.com/pkgs/r/"),
    _served("conda", "bio", "https://conda.anaconda.org/bioconda/"),
    _served("conda", "team/main", "https://packages.example.org/t/***/main/"),
    _served("conda", "nested", f"{FORGE}/label/nested/"),
    _served("pypi", "pypi", "https://pypi.example.org/simple/"),
    _served("cran", "cran", "https://cloud.r-project.org/"),
    _served("cran", "second", "https://cran.example.org/"),
)


@pytest.mark.parametrize(
    ("channel", "keys"),
    [
        ("conda-forge", ["conda/conda-forge"]),
        (FORGE, ["conda/conda-forge"]),
        (f"{FORGE}/", ["conda/conda-forge"]),
        (f"{BASE}/conda/conda-forge", ["conda/conda-forge"]),
        ("bioconda", ["conda/bio"]),
        ("defaults", ["conda/main", "conda/r"]),
        ("team/main", ["conda/team/main"]),
        ("https://packages.example.org/t/SECRET/main", ["conda/team/main"]),
    ],
)
def test_a_channel_is_found_by_name_or_address(channel: str, keys: list[str]) -> None:
    assert [one.key for one in Places(SERVED).channels([channel])] == keys


def test_channels_keep_their_order_and_come_once() -> None:
    found = Places(SERVED).channels(["bio", "defaults", "main", "conda-forge"])
    assert [one.name for one in found] == ["bio", "main", "r", "conda-forge"]


def test_mirrors_that_the_command_names_stand_in_for_all_channels() -> None:
    places = Places(SERVED, ["conda/main", "team/main", "pypi"])
    assert [one.key for one in places.channels(["anything"])] == ["conda/main", "conda/team/main"]
    assert places.of_type("pypi").key == "pypi/pypi"


def test_an_unknown_channel_or_mirror_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no mirror has the channel nvidia; .*conda/conda-forge"):
        Places(SERVED).channels(["nvidia"])
    with pytest.raises(ConfigError, match="--mirror nvidia: the server has conda/conda-forge"):
        Places(SERVED, ["nvidia"])
    with pytest.raises(ConfigError, match=r"has no mirror of type pypi; it has none that it shows"):
        Places([]).of_type("pypi")


def test_one_of_several_mirrors_of_a_type_has_to_be_named() -> None:
    with pytest.raises(ConfigError, match="--mirror with one of cran/cran, cran/second"):
        Places(SERVED).of_type("cran")
    assert Places(SERVED, ["second"]).of_type("cran").name == "second"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{FORGE}/linux-64/a-1-0.conda", "conda/conda-forge/linux-64/a-1-0.conda"),
        ("https://repo.anaconda.com/pkgs/main/noarch/a-1-0.conda", "conda/main/noarch/a-1-0.conda"),
        (
            "https://user:word@packages.example.org/t/SECRET/main/noarch/a-1-0.conda",
            "conda/team/main/noarch/a-1-0.conda",
        ),
        (f"{FORGE}/label/nested/noarch/a-1-0.conda", "conda/nested/noarch/a-1-0.conda"),
        # From another copy of a channel of that name.
        (
            "https://x.example.org/y/conda-forge/noarch/a-1-0.conda",
            "conda/conda-forge/noarch/a-1-0.conda",
        ),
        (
            "https://x.example.org/team/main/noarch/a-1-0.conda",
            "conda/team/main/noarch/a-1-0.conda",
        ),
        ("https://x.example.org/nvidia/noarch/a-1-0.conda", None),
        ("https://x.example.org/a-1-0.conda", None),
    ],
)
def test_an_address_in_a_channel_is_found_in_its_mirror(url: str, path: str | None) -> None:
    expected = None if path is None else f"{BASE}/{path}"
    assert Places(SERVED).of_url("conda", url) == expected
