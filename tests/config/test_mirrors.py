"""Names, sources and places of mirrors."""

from __future__ import annotations

import pytest

from proxy.config.mirrors import with_slash, wrong_name, wrong_place, wrong_source
from proxy.core.model import Mirror


@pytest.mark.parametrize(
    "name", ["conda-forge", "pkgs/main", "conda-forge/label/rc", "r", "_a.b", "3-x"]
)
def test_names_may_hold_slashes(name: str) -> None:
    assert wrong_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".a", "-a", "A", "a b", "a%2fb", "t", "t/x", "ä"],
)
def test_other_names_are_refused(name: str) -> None:
    assert wrong_name(name)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("conda", "https://conda.anaconda.org/conda-forge"),
        ("conda", "https://conda.anaconda.org/conda-forge/label/rc/"),
        ("conda", "https://repo.anaconda.cloud/pkgs/main"),
        ("conda", "https://host.example.org/api/repo/channel"),
        ("conda", "https://repo.anaconda.cloud/repo/t/tk-1-2/org/channel"),
        ("conda", "https://repo.anaconda.cloud/t/tk-1-2/repo/channel"),
        ("conda", "https://user:p%40ss@host.example.org:8443/channel"),
        ("conda", "https://host.example.org/linux-tools"),
        ("conda", "HTTP://[::1]:8080/channel"),
        ("pypi", "https://index.example.org/simple"),
        ("pypi", "https://index.example.org/root/dev/+simple/"),
        ("pypi", "https://index.example.org"),
        ("pypi", "auto"),
        ("cran", "https://cloud.r-project.org"),
        ("cran", "https://host.example.org/api/repo/channel/cran"),
        ("cran", "https://host.example.org/cran/__linux__/noble/latest"),
        ("files", "https://files.example.org/a/noarch"),
    ],
)
def test_all_forms_of_sources_are_accepted(kind: str, source: str) -> None:
    assert wrong_source(kind, source) is None


@pytest.mark.parametrize(
    ("kind", "source", "advice"),
    [
        ("conda", "auto", '"auto" is for pypi'),
        ("files", "auto", '"auto" is for pypi'),
        ("cran", "https://host.example.org/cran/src/contrib/", "without /src/contrib at"),
        ("cran", "https://host.example.org/a/src/contrib/PACKAGES.gz", "without /src/contrib/P"),
        ("cran", "https://host.example.org/bin/windows/contrib/4.5", "without /bin/windows/"),
        ("conda", "conda-forge", "begins with https://"),
        ("conda", "host.example.org/x", "begins with https://"),
        ("conda", "ftp://host.example.org/x", "begins with https://"),
        ("conda", "file:///srv/channel", "begins with https://"),
        ("conda", "https:///x", "begins with https://"),
        ("conda", "https://host.example.org/a b", "begins with https://"),
        ("conda", "https://host.example.org:0/", "begins with https://"),
        ("conda", "https://user:hunter2/word@host.example.org/", "%2F"),
        ("conda", "https://host.example.org:99999/", "not a URL"),
        ("conda", "https://[::1/", "not a URL"),
        ("pypi", "https://host.example.org/?token=hunter2", "without a query"),
        ("pypi", "https://host.example.org/#hunter2", "without a query"),
        ("conda", "https://host.example.org/c/linux-64", "without /linux-64"),
        ("conda", "https://host.example.org/c/noarch/", "without /noarch"),
        ("conda", "https://host.example.org/c/noarch/repodata.json", "not that of a file"),
        ("conda", "https://host.example.org/c/noarch/repodata.json.zst", "not that of a file"),
    ],
)
def test_other_sources_are_told_what_to_write(kind: str, source: str, advice: str) -> None:
    problem = wrong_source(kind, source)
    assert problem is not None
    assert advice in problem
    assert "hunter2" not in problem


def test_sources_end_in_one_slash() -> None:
    assert with_slash("https://host.example.org/a") == "https://host.example.org/a/"
    assert with_slash("https://host.example.org/a/") == "https://host.example.org/a/"
    assert with_slash("auto") == "auto"


@pytest.mark.parametrize(
    ("outer", "inner", "hidden"),
    [
        ("conda/conda-forge", "conda/conda-forge/label/rc", False),
        ("conda/conda-forge", "conda/conda-forge/linux-64", True),
        ("conda/conda-forge", "conda/conda-forge/noarch/x", True),
        ("conda/conda-forge", "conda/conda-forge-extra", False),
        ("conda/a", "pypi/a/noarch", False),
        ("pypi/dev", "pypi/dev/stable", False),
        ("pypi/dev", "pypi/dev/simple", True),
        ("pypi/dev", "pypi/dev/packages/x", True),
        ("files/data", "files/data/new", True),
        ("files/data", "files/database", False),
    ],
)
def test_a_mirror_hides_no_files_of_another(outer: str, inner: str, hidden: bool) -> None:
    mirrors = [_mirror(outer), _mirror(inner)]
    assert bool(wrong_place(mirrors[1], mirrors)) is hidden
    assert wrong_place(mirrors[0], mirrors) is None


def _mirror(key: str) -> Mirror:
    kind, _, name = key.partition("/")
    return Mirror(type=kind, name=name, source="https://host.example.org/")
