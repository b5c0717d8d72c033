"""What the server says when it is ready."""

from __future__ import annotations

from proxy.cli.banner import banner
from proxy.config import load
from proxy.core.model import Mirror

USUAL = load(None, {}).settings.mirrors


def _mirror(key: str) -> Mirror:
    kind, _, name = key.partition("/")
    return Mirror(type=kind, name=name, source="https://me:hunter2@host.example.org/")


def test_without_configuration_it_points_conda_pip_uv_and_r_here() -> None:
    assert banner(USUAL, "http://127.0.0.1:8080") == (
        "pkgproxy serves at http://127.0.0.1:8080\n"
        "\n"
        "  http://127.0.0.1:8080/conda/conda-forge/\n"
        "  http://127.0.0.1:8080/conda/main/\n"
        "  http://127.0.0.1:8080/conda/r/\n"
        "  http://127.0.0.1:8080/conda/msys2/\n"
        "  http://127.0.0.1:8080/pypi/pypi/\n"
        "  http://127.0.0.1:8080/cran/cran/\n"
        "\n"
        "Point your tools here:\n"
        "  conda config --set channel_alias http://127.0.0.1:8080/conda\n"
        "  pip config set global.index-url http://127.0.0.1:8080/pypi/pypi/simple/\n"
        "  export UV_DEFAULT_INDEX=http://127.0.0.1:8080/pypi/pypi/simple/\n"
        '  in R: options(repos = c(CRAN = "http://127.0.0.1:8080/cran/cran"))\n'
    )


def test_it_names_only_tools_that_have_a_mirror() -> None:
    assert "pip" not in banner([_mirror("conda/lab")], "http://127.0.0.1:1")
    assert "channel_alias" not in banner([_mirror("pypi/dev")], "http://127.0.0.1:1")


def test_it_names_the_first_index() -> None:
    said = banner([_mirror("pypi/dev/stable"), _mirror("pypi/other")], "http://127.0.0.1:1")
    assert "export UV_DEFAULT_INDEX=http://127.0.0.1:1/pypi/dev/stable/simple/\n" in said


def test_all_interfaces_are_shown_as_one_that_clients_can_use() -> None:
    said = banner(USUAL, "http://0.0.0.0:8080")
    assert "0.0.0.0" not in said
    assert "every other address of this machine" in said
    assert "http://[::1]:8080/conda" in banner(USUAL, "http://[::]:8080")


def test_pip_is_told_to_trust_another_host() -> None:
    assert "global.trusted-host 10.0.0.5\n" in banner(USUAL, "http://10.0.0.5:8080")


def test_no_secret_is_shown() -> None:
    assert "hunter2" not in banner([_mirror("conda/lab")], "http://127.0.0.1:1")


def test_it_says_where_it_is_administered() -> None:
    said = banner(USUAL, "http://127.0.0.1:8080", "http://127.0.0.1:8081/")
    assert "and is administered at http://127.0.0.1:8081/\n" in said
