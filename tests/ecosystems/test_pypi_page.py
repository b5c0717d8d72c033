"""Project pages from JSON: files lead to us, clients get nothing they choke on, the rest stays."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from msgspec.structs import replace

from proxy.core.model import Artifact
from proxy.core.rows import Row
from proxy.errors import BadIndex
from tests.ecosystems.pypi_pages import (
    FILES,
    HEX,
    JSON,
    METADATA_SHA256,
    MIRROR,
    PYPI,
    SHA256,
    SHAPED,
    body_of,
    page_index,
    render,
    sample_file,
    sample_page,
    views_of,
)

WHEEL = f"{SHAPED}/sample-1.0-py3-none-any.whl"


# -- what clients stumble over -----------------------------------------------------------


def test_no_null_is_sent_that_makes_uv_refuse_the_page() -> None:
    file = sample_file(size=None, upload_time=None, yanked=None, gpg_sig=None)
    views = views_of(sample_page(file))
    assert not {"size", "upload-time", "yanked", "gpg-sig"} & views.file.keys()
    assert views.file["requires-python"] == ">=3.8,<4"
    assert views.rows[WHEEL].size is None


def test_the_keys_that_uv_demands_are_always_there() -> None:
    file = sample_file()
    del file["hashes"]
    assert views_of(sample_page(file)).file["hashes"] == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "1234"),
        ("size", -1),
        ("size", True),
        ("size", 1.5),
        ("size", 1 << 70),
        ("upload-time", 1700000000),
        ("requires-python", [">=3"]),
        ("core-metadata", "true"),
        ("core-metadata", {"sha256": 7}),
        ("provenance", False),
        ("gpg-sig", "no"),
    ],
)
def test_an_optional_key_of_a_wrong_form_counts_as_not_given(key: str, value: object) -> None:
    views = views_of(sample_page(sample_file(**{key: value})))
    assert key not in views.file
    assert WHEEL in views.rows


@pytest.mark.parametrize(
    ("yanked", "shown"), [(True, True), (False, False), ("broken", "broken"), (1, True), (0, False)]
)
def test_a_yank_is_never_lost(yanked: object, shown: object) -> None:
    assert views_of(sample_page(sample_file(yanked=yanked))).file["yanked"] == shown


@pytest.mark.parametrize(
    "advertised",
    [
        {"core-metadata": {"sha256": METADATA_SHA256}},
        {"core-metadata": {"SHA256": METADATA_SHA256.upper()}},
        {"dist-info-metadata": {"sha256": METADATA_SHA256}},
        {"data-dist-info-metadata": {"sha256": METADATA_SHA256}},
    ],
)
def test_advertised_metadata_has_a_row_with_its_own_hash(advertised: dict[str, Any]) -> None:
    file = sample_file()
    del file["core-metadata"], file["data-dist-info-metadata"]
    views = views_of(sample_page(file | advertised))
    assert views.file.items() >= advertised.items()
    assert views.rows[f"{WHEEL}.metadata"] == Row(
        url=f"{FILES}/{WHEEL}.metadata", hashes={"sha256": METADATA_SHA256}
    )


@pytest.mark.parametrize("value", [True, {}])
def test_metadata_advertised_without_a_hash_is_served_unchecked(value: object) -> None:
    file = sample_file(core_metadata=value, data_dist_info_metadata=False)
    assert views_of(sample_page(file)).rows[f"{WHEEL}.metadata"].hashes == {}


def test_old_clients_get_metadata_that_only_an_old_key_advertises() -> None:
    views = views_of(sample_page(sample_file(core_metadata=False)))
    assert f"{WHEEL}.metadata" in views.rows
    assert "core-metadata" not in views.html  # PEP 714: the new key decides for those who read it


@pytest.mark.parametrize("value", [False, None])
def test_metadata_of_wheels_that_upstream_lacks_are_promised_to_be_read_out_of_them(
    value: object,
) -> None:
    file = sample_file(core_metadata=value, data_dist_info_metadata=value)
    views = views_of(sample_page(file))
    assert views.rows[f"{WHEEL}.metadata"] == replace(views.rows[WHEEL], derived=True)
    assert views.file["core-metadata"] is True
    assert 'data-core-metadata="true"' in views.html


@pytest.mark.parametrize("name", ["sample-1.0.tar.gz", "sample-x.whl", "sample-1.0-py2.7.egg"])
def test_of_what_is_no_wheel_no_metadata_are_promised(name: str) -> None:
    file = sample_file(filename=name, core_metadata=False, data_dist_info_metadata=False)
    views = views_of(sample_page(file))
    assert len(views.rows) == 1
    assert "core-metadata" not in views.html


@pytest.mark.parametrize(
    "url",
    [
        f"{FILES}/{WHEEL}?token=1&x=2",
        f"{FILES}/download?file=sample-1.0-py3-none-any.whl",
        f"{FILES}/{WHEEL}#sha256={SHA256}",
        f"{FILES}/other-name.whl",
    ],
)
def test_file_urls_have_no_query_and_end_in_the_file_name(url: str) -> None:
    views = views_of(sample_page(sample_file(url=url)))
    shown = urlsplit(views.file["url"])
    assert (shown.query, shown.fragment) == ("", "")
    assert shown.path.rpartition("/")[2] == "sample-1.0-py3-none-any.whl"
    (row,) = (row for key, row in views.rows.items() if key.endswith(".whl"))
    assert row.url == url.partition("#")[0]


def test_lock_files_convert_by_host_because_the_path_keeps_its_shape() -> None:
    views = views_of(sample_page(sample_file()))
    assert views.file["url"] == f"../../{WHEEL}"
    served = urljoin("https://proxy.example.org/pypi/main/simple/sample/", views.file["url"])
    assert served == f"https://proxy.example.org/pypi/main/{WHEEL}"
    assert views.rows[WHEEL] == Row(url=f"{FILES}/{WHEEL}", size=1234, hashes={"sha256": SHA256})


def test_files_of_other_shapes_get_that_shape_from_their_hash() -> None:
    url = f"{FILES}/whl/cu118/sample-1.0-py3-none-any.whl"
    views = views_of(sample_page(sample_file(url=url, hashes={"sha256": HEX})))
    assert views.file["url"] == f"../../{WHEEL}"
    assert views.rows[WHEEL].url == url


@pytest.mark.parametrize("plus", ["+", "%2B", "%2b"])
def test_local_versions_are_encoded_in_pages_and_decoded_in_rows(plus: str) -> None:
    name = "sample-1.0+cu118-py3-none-any.whl"
    file = sample_file(filename=name, url=f"{FILES}/{SHAPED}/{name.replace('+', plus)}")
    views = views_of(sample_page(file))
    assert views.file["url"] == f"../../{SHAPED}/sample-1.0%2Bcu118-py3-none-any.whl"
    assert f'href="{views.file["url"]}#' in views.html
    assert f"{SHAPED}/{name}" in views.rows
    assert views.rows[f"{SHAPED}/{name}"].url == file["url"]


@pytest.mark.parametrize("key", ["meta", "name", "project-status", "versions"])
def test_a_null_at_the_top_counts_as_not_given(key: str) -> None:
    shown = views_of(sample_page(sample_file(), **{key: None})).json
    assert shown.get(key) == ("sample" if key == "name" else None)
    assert None not in shown.values()


# -- what is kept ------------------------------------------------------------------------


def test_unknown_keys_and_their_order_survive() -> None:
    page = {
        "_before": [1, {"deep": None}],
        **sample_page(sample_file(x_new={"kept": [True, None, 1.5, 10**30]})),
        "namespaces": [{"name": "corp", "owned": True}],
        "meta": {"api-version": "1.5", "_last-serial": 7, "x": None},
    }
    views = views_of(page)
    page["files"][0]["url"] = views.file["url"]
    assert json.dumps(views.json) == json.dumps(page)


def test_project_status_and_versions_without_files_pass() -> None:
    status = {"status": "archived", "reason": "moved <away>"}
    views = views_of(sample_page(versions=["1.0", "2.0"], **{"project-status": status}))
    assert views.json["project-status"] == status
    assert views.json["versions"] == ["1.0", "2.0"]
    assert views.json["files"] == []
    assert '<meta name="pypi:project-status" content="archived">' in views.html
    assert 'content="moved &lt;away&gt;"' in views.html


def test_the_status_is_also_read_where_the_examples_have_it() -> None:
    page = sample_page(meta={"api-version": "1.4", "project-status": "deprecated"})
    del page["project-status"]
    assert '<meta name="pypi:project-status" content="deprecated">' in views_of(page).html


@pytest.mark.parametrize(
    ("provenance", "shown"),
    [
        (f"{FILES}/integrity/x/provenance", f"{FILES}/integrity/x/provenance"),
        ("/integrity/x", "https://index.example.org/integrity/x"),
        (None, None),
        ("//[bad", None),
        ("javascript:x", None),
    ],
)
def test_provenance_stays_at_its_own_address(provenance: str | None, shown: str | None) -> None:
    views = views_of(sample_page(sample_file(provenance=provenance)))
    assert views.file["provenance"] == shown
    assert (f'data-provenance="{shown}"' in views.html) is (shown is not None)


def test_signatures_have_a_row_only_where_upstream_has_them() -> None:
    for gpg_sig, present in ((True, True), (False, False)):
        views = views_of(sample_page(sample_file(gpg_sig=gpg_sig)))
        assert (f"{WHEEL}.asc" in views.rows) is present
        assert f'data-gpg-sig="{str(gpg_sig).lower()}"' in views.html


# -- what is left out --------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename",
    ["", ".", "..", "../up.whl", "a/b.whl", "a\\b.whl", "a\nb.whl", "a\x00.whl", "x" * 300],
)
def test_file_names_that_are_no_plain_segment_are_dropped(filename: str) -> None:
    bad = sample_file(url=f"{FILES}/x.whl") | {"filename": filename}
    views = views_of(sample_page(bad, sample_file()))
    assert [file["filename"] for file in views.json["files"]] == ["sample-1.0-py3-none-any.whl"]
    assert all("sample-1.0" in key for key in views.rows)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h.example.org/a.whl", "https://[x/"])
def test_files_that_cannot_be_fetched_are_dropped(url: str) -> None:
    assert views_of(sample_page(sample_file(url=url))).json["files"] == []


def test_hashes_that_cannot_be_checked_stay_in_the_page_and_out_of_the_row() -> None:
    hashes = {"sha256": SHA256, "blake9": "ab", "md5": "short", "sha1": "g" * 40}
    views = views_of(sample_page(sample_file(hashes=hashes)))
    assert views.file["hashes"] == hashes
    assert views.rows[WHEEL].hashes == {"sha256": SHA256}


# -- what a view lists the gate knows ----------------------------------------------------


def test_every_listed_file_is_a_row_of_the_index_that_its_path_names() -> None:
    names = [
        "sample-1.0-py3-none-any.whl",
        "sample-1.0+cu1-py3-none-any.whl",
        "sample-1.0.tar.gz",
        "sample-1.0-1.tar.gz",
        "sample-2-1.tar.gz",
        "sample-1.0-py2.7.egg",
        "sample 1.0%20.zip",
        "Sämple.whl",
        "other-1.0.tar.gz",
        "sample-1.0-variants.json",
    ]
    views = views_of(sample_page(*(sample_file(filename=name, gpg_sig=True) for name in names)))
    assert [file["filename"] for file in views.json["files"]] == names
    for file in views.json["files"]:
        url = urljoin("https://p.example.org/pypi/main/simple/sample/", file["url"])
        path = unquote(urlsplit(url).path).removeprefix("/pypi/main/")
        for ending in ("", ".metadata", ".asc"):
            found = PYPI.classify(MIRROR, path + ending)
            assert isinstance(found, Artifact)
            assert found.index.path == "simple/sample/"
            assert found.row in views.rows


# -- upstreams that lie or err -----------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    [JSON, "application/json", "application/octet-stream", "text/plain", "text/html", ""],
)
def test_json_is_recognised_whatever_it_is_called(media_type: str) -> None:
    raw = b"\xef\xbb\xbf \n" + json.dumps(sample_page(sample_file())).encode()
    assert views_of(raw, media_type=media_type).file["size"] == 1234


@pytest.mark.parametrize(
    ("content", "media_type", "message"),
    [
        (b"", JSON, "empty"),
        (b" \n", "text/html", "empty"),
        (b"\x1f\x8b\x08\x00", "application/octet-stream", "neither JSON nor HTML"),
        (b"{", JSON, "not the JSON"),
        (json.dumps(sample_page(sample_file())).encode()[:-9], JSON, "not the JSON"),
        (b'{"files": "\xff"}', JSON, "not the JSON"),
        (b'{"files": [1e999]}', JSON, "not the JSON"),
        (b"[]", JSON, "a JSON list"),
        (b'{"a":' * 100_000, JSON, "nested too deeply"),
        ({"projects": []}, JSON, "no list of 'files'"),
        ({"files": {}}, JSON, "no list of 'files'"),
        ({"files": [1]}, JSON, "lists a int"),
        ({"files": [{"url": "a.whl"}]}, JSON, "'filename'"),
        ({"files": [{"filename": "a.whl", "url": None}]}, JSON, "'url'"),
        ({"files": [sample_file(hashes=[])]}, JSON, "no table"),
        ({"files": [sample_file(hashes={"sha256": 1})]}, JSON, "no table"),
        (sample_page(meta=[]), JSON, "'meta' is a list"),
        (sample_page(meta={"api-version": "2.0"}), JSON, "version 2.0"),
        (sample_page(meta={"api-version": 1}), JSON, "gives 1"),
        (sample_page(), "application/vnd.pypi.simple.v2+json", "version 2"),
        ("<a href=x.whl>", "application/vnd.pypi.simple.v2+html", "version 2"),
    ],
)
def test_a_body_that_is_no_page_is_refused_and_the_reason_named(
    content: object, media_type: str, message: str
) -> None:
    body = body_of(content, media_type=media_type)
    with pytest.raises(BadIndex, match=message) as caught:
        render(page_index(), body, "json", "html", "rows")
    assert "simple/sample/ from https://index.example.org/" in str(caught.value)


def test_only_the_forms_asked_for_are_made_and_they_are_the_same_each_time() -> None:
    body = body_of(sample_page(sample_file()))
    all_forms = render(page_index(), body, "json", "html", "rows")
    for form in all_forms:
        assert render(page_index(), body, form) == {form: all_forms[form]}
