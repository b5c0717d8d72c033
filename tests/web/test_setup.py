"""The lines to copy: right for each client, and never with a secret."""

from __future__ import annotations

import configparser
import tomllib

import pytest

from proxy.core.model import Mirror
from proxy.web.setup import Client, clients, commands

FAR = "http://packages.example.org:8080"


def _mirror(kind: str, name: str, source: str = "https://host.example.org/x/") -> Mirror:
    return Mirror(type=kind, name=name, source=source)


def _client(found: list[Client], name: str) -> Client:
    return next(one for one in found if one.name.startswith(name))


def test_only_clients_of_what_is_mirrored_are_named() -> None:
    assert clients([], FAR) == []
    assert clients([_mirror("files", "f")], FAR) == []
    assert [one.name for one in clients([_mirror("cran", "cran")], FAR)] == ["R"]
    assert [one.name for one in clients([_mirror("pypi", "pypi")], FAR)] == ["pip", "uv"]


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [(FAR, False), ("http://127.0.0.1:8080", True), ("https://packages.example.org", True)],
)
def test_pip_is_told_to_trust_what_it_would_not(address: str, is_trusted: bool) -> None:
    pip = _client(clients([_mirror("pypi", "pypi")], address), "pip")
    parsed = configparser.ConfigParser()
    parsed.read_string(pip.snippets[0].text)
    assert parsed["global"]["index-url"] == f"{address}/pypi/pypi/simple/"
    assert parsed.has_option("global", "trusted-host") is not is_trusted


def test_uv_and_pixi_are_given_toml() -> None:
    found = clients([_mirror("pypi", "pypi"), _mirror("conda", "a/b")], FAR)
    uv = tomllib.loads(_client(found, "uv").snippets[0].text)
    assert uv["index"] == [{"url": f"{FAR}/pypi/pypi/simple/", "default": True}]
    pixi = tomllib.loads(_client(found, "pixi").snippets[0].text)
    assert pixi["mirrors"] == {"https://host.example.org/x": [f"{FAR}/conda/a/b"]}


def test_mirrors_of_one_source_share_a_line() -> None:
    found = clients([_mirror("conda", "stable"), _mirror("conda", "all")], FAR)
    pixi = tomllib.loads(_client(found, "pixi").snippets[0].text)
    assert pixi["mirrors"] == {
        "https://host.example.org/x": [f"{FAR}/conda/stable", f"{FAR}/conda/all"]
    }


def test_conda_gets_the_default_channels_that_are_here() -> None:
    found = clients([_mirror("conda", "main"), _mirror("conda", "conda-forge")], FAR)
    condarc = _client(found, "conda").snippets[0].text
    assert f"default_channels:\n  - {FAR}/conda/main" in condarc
    assert "channels:\n  - conda-forge" in condarc


def test_a_source_with_a_secret_is_not_shown() -> None:
    found = clients([_mirror("conda", "x", "https://host.example.org/t/secret/x/")], FAR)
    assert "secret" not in str(found)
    assert [one.name for one in found] == ["conda, mamba, micromamba"]


def test_commands_point_at_the_first_mirror_of_each_type() -> None:
    assert commands([_mirror("files", "f")], FAR) == []
    found = commands([_mirror("pypi", "one"), _mirror("pypi", "two"), _mirror("cran", "c")], FAR)
    assert found == [
        f"pip config set global.index-url {FAR}/pypi/one/simple/",
        "pip config set global.trusted-host packages.example.org",
        f"export UV_DEFAULT_INDEX={FAR}/pypi/one/simple/",
        f'in R: options(repos = c(CRAN = "{FAR}/cran/c"))',
    ]
