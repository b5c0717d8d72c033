"""What the addresses of a repository of R packages mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Artifact, Index, Plain
from proxy.ecosystems.cran import paths
from proxy.errors import UnknownPath
from tests.ecosystems.cran_repositories import CRAN, MIRROR

PLACES = [
    "src/contrib",
    "2026-01-31/src/contrib",
    "__linux__/noble/latest/src/contrib",
    "latest/bin/linux/noble-x86_64/4.5/src/contrib",
    "bin/windows/contrib/4.5",
    "bin/macosx/contrib/4.5",
    "bin/macosx/big-sur-arm64/contrib/4.5",
    "bin/linux/4.5-noble/contrib/4.5",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("ending", "form", "compressible"),
    [("", "text", True), (".gz", "gz", False), (".rds", "rds", False)],
)
def test_packages_in_three_forms_is_one_index(
    place: str, ending: str, form: str, compressible: bool
) -> None:
    found = CRAN.classify(MIRROR, f"{place}/PACKAGES{ending}")
    assert isinstance(found, Index)
    assert found.path == f"{place}/PACKAGES"
    assert [source.path for source in found.sources] == [f"{found.path}.gz", found.path]
    assert [(one.name, one.compressible) for one in found.forms] == [(form, compressible)]
    assert form in set().union(*CRAN.groups(found))


@pytest.mark.parametrize(
    ("path", "index", "row", "media_type"),
    [
        ("src/contrib/a_1.0.tar.gz", "src/contrib", "a_1.0.tar.gz", "application/gzip"),
        ("x/src/contrib/a_1.0.tar.gz", "x/src/contrib", "a_1.0.tar.gz", "application/gzip"),
        (
            "src/contrib/4.6.0/Recommended/Matrix_1.7-4.tar.gz",
            "src/contrib",
            "4.6.0/Recommended/Matrix_1.7-4.tar.gz",
            "application/gzip",
        ),
        (
            "bin/windows/contrib/4.5/a_1.0.zip",
            "bin/windows/contrib/4.5",
            "a_1.0.zip",
            "application/zip",
        ),
        (
            "bin/macosx/big-sur-arm64/contrib/4.5/a.b_1-2.tgz",
            "bin/macosx/big-sur-arm64/contrib/4.5",
            "a.b_1-2.tgz",
            "application/gzip",
        ),
        (
            "bin/linux/noble-x86_64/4.5/src/contrib/a_1.tar.gz",
            "bin/linux/noble-x86_64/4.5/src/contrib",
            "a_1.tar.gz",
            "application/gzip",
        ),
    ],
)
def test_a_package_is_listed_by_its_folder_s_index(
    path: str, index: str, row: str, media_type: str
) -> None:
    found = CRAN.classify(MIRROR, path)
    assert isinstance(found, Artifact)
    assert (found.index.path, found.row) == (f"{index}/PACKAGES", row)
    assert (found.media_type, found.vouched) == (media_type, True)
    assert found.fallback is not None
    assert found.fallback.path == path


@pytest.mark.parametrize("place", ["src/contrib", "2026-01-31/src/contrib"])
def test_a_source_may_have_moved_to_the_archive(place: str) -> None:
    found = CRAN.classify(MIRROR, f"{place}/a.b_1.0.tar.gz")
    assert isinstance(found, Artifact)
    assert found.moved == CRAN.classify(MIRROR, f"{place}/Archive/a.b/a.b_1.0.tar.gz")
    assert found.moved is not None
    assert found.moved.index.path == f"{place}/Meta/archive.rds"
    assert (found.moved.row, found.moved.vouched) == ("a.b/a.b_1.0.tar.gz", False)
    assert found.moved.moved is None


@pytest.mark.parametrize(
    "path", ["bin/windows/contrib/4.5/a_1.0.zip", "src/contrib/4.6.0/Recommended/a_1.0.tar.gz"]
)
def test_other_files_have_no_archive(path: str) -> None:
    found = CRAN.classify(MIRROR, path)
    assert isinstance(found, Artifact)
    assert found.moved is None


def test_the_archive_has_an_index_and_pages() -> None:
    index = CRAN.classify(MIRROR, "src/contrib/Meta/archive.rds")
    page = CRAN.classify(MIRROR, "src/contrib/Archive/a.b/")
    assert isinstance(index, Index)
    assert isinstance(page, Index)
    assert CRAN.decided_by(page) == index
    assert CRAN.decided_by(index) is None
    assert CRAN.canonical("src/contrib/Archive/a.b") == "src/contrib/Archive/a.b/"
    assert CRAN.canonical("src/contrib/Archive/a.b/") is None
    assert CRAN.canonical("src/contrib/Archive/a.b/a.b_1.tar.gz") is None


@pytest.mark.parametrize("path", ["web/packages/a/index.html", "web/packages/packages.rds"])
def test_pages_about_packages_are_passed_through(path: str) -> None:
    assert isinstance(CRAN.classify(MIRROR, path), Plain)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "src",
        "src/",
        "src/contrib",
        "src/contrib/",
        "src/contrib/README",
        "src/contrib/a.tar.gz",
        "src/contrib/a_1.0.exe",
        "src/contrib/_1.0.tar.gz",
        "src/contrib/a_1.0.tar.gz/",
        "src/contrib/PACKAGES.xz",
        "src/contrib/Meta/current.rds",
        "src/contrib/Meta/a_1.0.tar.gz",
        "src/contrib/Archive/",
        "src/contrib/Archive/a/b_1.0.tar.gz",
        "src/contrib/Archive/a/readme.txt",
        "src/contrib/Archive/a/b/a_1.0.tar.gz",
        "src/base/R-4/R-4.6.0.tar.gz",
        "bin/windows/base/R-4.6.0-win.exe",
        "bin/windows/contrib/a_1.0.zip",
        "bin/windows/contrib/4.5/Archive/a/a_1.0.zip",
        "bin/windows/contrib/4.5/Meta/archive.rds",
        "web/packages/a/a_1.0.tar.gz",
        "index.html",
    ],
)
def test_what_is_no_package_is_not_there(path: str) -> None:
    with pytest.raises(UnknownPath):
        CRAN.classify(MIRROR, path)


@pytest.mark.parametrize(
    ("contrib", "platform", "kind", "ending"),
    [
        ("src/contrib", "source", "source", ".tar.gz"),
        ("__linux__/noble/latest/src/contrib", "linux/noble", None, ".tar.gz"),
        ("bin/linux/noble-x86_64/4.5/src/contrib", "linux/noble-x86_64", None, ".tar.gz"),
        ("bin/linux/4.5-noble/contrib/4.5", "linux/4.5-noble", None, ".tar.gz"),
        ("bin/windows/contrib/4.5", "windows", "binary", ".zip"),
        ("bin/macosx/contrib/4.5", "macosx", "binary", ".tgz"),
        ("bin/macosx/big-sur-arm64/contrib/4.5", "macosx/big-sur-arm64", "binary", ".tgz"),
    ],
)
def test_a_folder_tells_what_its_packages_are_for(
    contrib: str, platform: str, kind: str | None, ending: str
) -> None:
    assert paths.platform(contrib) == platform
    assert paths.kind(contrib) == kind
    assert paths.ending(contrib) == ending


_SEGMENTS = st.sampled_from(
    [
        *("src", "contrib", "bin", "windows", "4.5", "Archive", "Meta", "a", "a_1.tar.gz", "web"),
        *("packages", "PACKAGES", "PACKAGES.gz", "archive.rds", "linux", "__linux__", "", "é"),
    ]
)


@given(st.lists(_SEGMENTS, max_size=9).map("/".join) | st.text())
def test_any_path_is_understood_or_unknown(path: str) -> None:
    try:
        found = CRAN.classify(MIRROR, path)
    except UnknownPath:
        return
    assert found.path.startswith(path.rpartition("/")[0])
    if isinstance(found, Artifact):
        assert found.path == path
