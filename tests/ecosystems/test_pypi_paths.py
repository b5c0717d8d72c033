"""What each path below a pypi mirror means, and which paths mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Artifact, Index
from proxy.errors import UnknownPath
from tests.ecosystems.pypi_pages import JSON, MIRROR, PYPI, SHAPED

WHEEL = f"{SHAPED}/sample-1.0+cu118-py3-none-any.whl"


@pytest.mark.parametrize(
    ("path", "name", "source"),
    [
        ("simple/", "simple/", ""),
        ("simple", "simple/", ""),
        ("simple/sample/", "simple/sample/", "sample/"),
        ("simple/sample", "simple/sample/", "sample/"),
        ("simple/Sample.Project_X/", "simple/sample-project-x/", "sample-project-x/"),
        ("pypi/Sample/json", "pypi/sample/json", "../pypi/sample/json"),
        ("pypi/sample/1.0/json", "pypi/sample/1.0/json", "../pypi/sample/1.0/json"),
    ],
)
def test_indexes_are_found_however_they_are_spelt(path: str, name: str, source: str) -> None:
    found = PYPI.classify(MIRROR, path)
    assert isinstance(found, Index)
    assert (found.mirror, found.path) == (MIRROR, name)
    assert [one.path for one in found.sources] == [source]


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("simple/", None),
        ("simple", "simple/"),
        ("simple/sample/", None),
        ("simple/sample", "simple/sample/"),
        ("simple/Sam.ple", "simple/sam-ple/"),
        ("simple/Sam_-_ple/", "simple/sam-ple/"),
        ("pypi/sample/json", None),
        ("pypi/Sample/json", "pypi/sample/json"),
        ("pypi/sample/json/", "pypi/sample/json"),
        ("pypi/Sample/1.0/json", "pypi/sample/1.0/json"),
        ("", None),
        ("simple/-bad-/", None),
        ("other", None),
        (WHEEL, None),
    ],
)
def test_other_spellings_are_redirected_to_the_canonical_one(
    path: str, canonical: str | None
) -> None:
    assert PYPI.canonical(path) == canonical
    if canonical is not None:
        assert PYPI.canonical(canonical) is None
        assert PYPI.classify(MIRROR, path) == PYPI.classify(MIRROR, canonical)


def test_both_forms_are_offered_and_upstream_is_asked_for_json_first() -> None:
    found = PYPI.classify(MIRROR, "simple/sample/")
    assert isinstance(found, Index)
    assert {form.media_type: form.name for form in found.forms} == {
        JSON: "json",
        JSON.replace("json", "html"): "html",
        "text/html": "html",
    }
    assert found.forms[0].media_type == "text/html"  # what clients that name none expect
    assert found.sources[0].accept is not None
    assert found.sources[0].accept.startswith(f"{JSON},")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (WHEEL, "application/zip"),
        (f"{WHEEL}.metadata", "text/plain; charset=utf-8"),
        (f"{WHEEL}.asc", "application/pgp-signature"),
    ],
)
def test_files_and_companions_are_rows_of_their_projects_page(path: str, media_type: str) -> None:
    found = PYPI.classify(MIRROR, path)
    assert isinstance(found, Artifact)
    assert found.index == PYPI.classify(MIRROR, "simple/sample/")
    assert (found.path, found.row, found.media_type) == (path, path, media_type)
    assert found.fallback is None


def test_a_project_in_the_path_decides_over_the_file_name() -> None:
    digits = SHAPED.removeprefix("packages/")
    found = PYPI.classify(MIRROR, f"packages/foo/{digits}/foo-2-1.tar.gz")
    assert isinstance(found, Artifact)
    assert found.index.path == "simple/foo/"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "other/",
        "simple//",
        "simple/../simple/",
        "simple/sample/index.html",
        "simple/-bad-/",
        "simple/föö/",
        "simple/a b/",
        "pypi/sample",
        "pypi/sample/1.0/2.0/json",
        "pypi/-/json",
        "packages/",
        f"{SHAPED}/",
        f"{WHEEL}/",
        f"{SHAPED}/a/b.whl",
        f"{SHAPED.upper()}/sample-1.0.tar.gz",
        f"{SHAPED[:-1]}/sample-1.0.tar.gz",
        f"{SHAPED}/+.whl",
        f"{SHAPED}/sample-1.0.tar.gz\n",
        "packages/source/s/sample/sample-1.0.tar.gz",
    ],
)
def test_what_is_no_path_of_an_index_is_unknown(path: str) -> None:
    with pytest.raises(UnknownPath):
        PYPI.classify(MIRROR, path)


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                [
                    "simple",
                    "pypi",
                    "json",
                    "packages",
                    "..",
                    ".",
                    "",
                    "a",
                    "Ab",
                    "aa",
                    "0" * 60,
                    "x.whl",
                ]
            )
        ).map("/".join),
    )
)
def test_every_path_is_understood_or_unknown(path: str) -> None:
    canonical = PYPI.canonical(path)
    try:
        found = PYPI.classify(MIRROR, path)
    except UnknownPath:
        return
    assert isinstance(found, Index | Artifact)
    if canonical is not None:
        assert PYPI.classify(MIRROR, canonical) == found


def test_an_absent_project_stays_absent_so_that_resolvers_try_the_next_index() -> None:
    found = PYPI.classify(MIRROR, "simple/sample/")
    assert isinstance(found, Index)
    assert PYPI.absent_body(found) is None


@pytest.mark.parametrize(
    ("path", "groups"),
    [
        ("simple/", ({"json"}, {"html"})),
        ("simple/sample/", ({"json", "html", "rows"},)),
        ("pypi/sample/json", ({"json", "refusal"},)),
    ],
)
def test_forms_are_made_in_groups(path: str, groups: tuple[set[str], ...]) -> None:
    found = PYPI.classify(MIRROR, path)
    assert isinstance(found, Index)
    assert PYPI.groups(found) == groups
