"""Both forms of a page say the same, to other parsers and to our own."""

from __future__ import annotations

import json
import warnings
from typing import Any

import mousebender.simple
import pypi_simple
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rows import Row
from tests.ecosystems.pypi_pages import (
    FILES,
    HEX,
    METADATA_SHA256,
    PAGE_URL,
    Views,
    anchor,
    anchors,
    sample_file,
    sample_page,
    views_of,
)

OURS = "https://proxy.example.org/pypi/main/simple/sample/"

_JSON_PAGE = sample_page(
    sample_file(),
    sample_file(filename="sample-1.1+cu118-py3-none-any.whl", yanked="a & b", gpg_sig=True),
    sample_file(
        filename="sample-1.2.tar.gz",
        core_metadata=False,
        data_dist_info_metadata=False,
        yanked=True,
    ),
    sample_file(filename="sample-2-1.tar.gz"),
    sample_file(filename="sample-1.3.tar.gz", url="../files/sample-1.3.tar.gz?x=1"),
    sample_file(filename="sample-1.4.tar.gz", core_metadata=True, requires_python=None),
)
_HTML_PAGE = anchors(
    anchor(f"{FILES}/d/sample-1.0.tar.gz#sha256={HEX}", data_requires_python="&gt;=3.9"),
    anchor("sample-1.1-py3-none-any.whl", data_yanked="x &lt; y", data_gpg_sig="true"),
    anchor(f"../sample-1.2.zip#md5={'1' * 32}", data_dist_info_metadata="true"),
    anchor("sample-1.3.tar.gz#sha512=" + "2" * 128, data_core_metadata=f"sha256={METADATA_SHA256}"),
)

PAGES: dict[str, Any] = {"json": _JSON_PAGE, "html": _HTML_PAGE}


@pytest.mark.parametrize("source", PAGES)
def test_pypi_simple_reads_the_same_files_from_both_forms(source: str) -> None:
    views = views_of(PAGES[source])
    from_json = pypi_simple.ProjectPage.from_json_data(views.json, base_url=OURS)
    from_html = pypi_simple.ProjectPage.from_html("sample", views.html, base_url=OURS)
    assert len(from_json.packages) == len(views.json["files"])
    for ours, theirs in zip(from_json.packages, from_html.packages, strict=True):
        for field in (
            "filename",
            "url",
            "project",
            "version",
            "package_type",
            "requires_python",
            "is_yanked",
            "yanked_reason",
            "has_sig",
            "has_metadata",
            "provenance_url",
        ):
            # What JSON leaves open is None in one form and its default in the other.
            assert (getattr(ours, field) or None) == (getattr(theirs, field) or None), field
        assert (ours.metadata_digests or None) == (theirs.metadata_digests or None)
        assert theirs.digests.items() <= ours.digests.items()
        assert bool(theirs.digests) is bool(ours.digests)


@pytest.mark.parametrize("source", PAGES)
def test_mousebender_reads_the_same_files_from_both_forms(source: str) -> None:
    views = views_of(PAGES[source])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mousebender.simple.APIVersionWarning)
        read = mousebender.simple.from_project_details_html(views.html, "sample")
    keys = ("filename", "url", "hashes", "requires-python", "yanked", "gpg-sig", "core-metadata")
    assert [_spoken(file, keys) for file in read["files"]] == [
        _spoken(file, keys) for file in views.json["files"]
    ]


def _spoken(file: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """What a file says under *keys*: HTML has no way to say "no" but silence."""
    return {key: file[key] for key in keys if file.get(key) not in (None, False)}


@pytest.mark.parametrize("source", PAGES)
@pytest.mark.parametrize("form", ["json", "html"])
def test_our_own_page_as_an_upstream_gives_the_same_files(source: str, form: str) -> None:
    views = views_of(PAGES[source])
    again = views_of(views.json if form == "json" else views.html, url=OURS)
    assert _told(again) == _told(views)
    assert again.rows.keys() == views.rows.keys()
    base = OURS.removesuffix("simple/sample/")
    for key, row in again.rows.items():
        assert row.url is not None
        assert row.url.replace("%2B", "+") == f"{base}{key}"
        assert row == Row(url=row.url, size=views.rows[key].size, hashes=views.rows[key].hashes)


def _told(views: Views) -> list[dict[str, Any]]:
    """Every file of the JSON, without what HTML cannot say and the name that came by mistake."""
    return [
        {
            key: value
            for key, value in file.items()
            if value not in (None, False) and key != "data-dist-info-metadata"
        }
        for file in views.json["files"]
    ]


# -- any upstream ------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_FILES = st.fixed_dictionaries(
    {
        "filename": st.one_of(
            st.builds(
                "sample-{}.tar.gz".format,
                st.from_regex(r"[0-9]\.[0-9](\+[a-z]{1,3})?", fullmatch=True),
            ),
            st.builds("{}-1.0-py3-none-any.whl".format, _TEXT),
        ),
        "url": st.one_of(_TEXT, st.builds("https://f.example.org/{}".format, _TEXT)),
        "hashes": st.dictionaries(st.sampled_from(["sha256", "md5"]), st.sampled_from([HEX, "1"])),
    },
    optional={
        "requires-python": st.none() | _TEXT.filter(bool),
        "size": st.none() | st.integers(0, 1 << 40),
        "upload-time": st.none() | st.just("2024-05-06T07:08:09.101112Z"),
        "yanked": st.none() | st.booleans() | _TEXT.filter(bool),
        "core-metadata": st.none() | st.booleans() | st.just({"sha256": METADATA_SHA256}),
        "gpg-sig": st.none() | st.booleans(),
    },
)


@given(st.lists(_FILES, max_size=4))
def test_for_any_page_html_json_and_rows_agree(files: list[dict[str, Any]]) -> None:
    views = views_of(sample_page(*files), url=PAGE_URL)
    from_html = views_of(views.html, url=OURS)
    from_json = views_of(json.loads(json.dumps(views.json)), url=OURS)
    assert from_json.rows.keys() == views.rows.keys()
    assert [file["filename"] for file in from_json.json["files"]] == [
        file["filename"] for file in views.json["files"]
    ]
    assert from_html.rows.keys() == views.rows.keys()
    for file, read in zip(views.json["files"], from_html.json["files"], strict=True):
        for key in ("filename", "url", "size", "upload-time", "yanked", "requires-python"):
            assert (read.get(key) or None) == (file.get(key) or None)
