"""Project pages in HTML: everything that can be said in it is read, and written."""

from __future__ import annotations

import time
from typing import Any

import pytest

from proxy.core.rows import Row
from proxy.ecosystems.pypi.markup import tags
from proxy.errors import BadIndex
from tests.ecosystems.pypi_pages import (
    FILES,
    HEX,
    JSON,
    METADATA_SHA256,
    SHA256,
    SHAPED,
    anchor,
    anchors,
    sample_file,
    sample_page,
    views_of,
)

NAME = "sample-1.0-py3-none-any.whl"
WHEEL = f"{SHAPED}/{NAME}"
VERSION = '<meta name="pypi:repository-version" content="{}">'


@pytest.mark.parametrize(
    "page",
    [
        "<html><body>Please log in</body></html>",
        '<!DOCTYPE html><a href="/forgotten">Forgot your password?</a>',
        "<html><head><meta name=robots content=none></head></html>",
    ],
)
def test_a_page_of_another_kind_is_no_empty_project(page: str) -> None:
    with pytest.raises(BadIndex, match="lists no file"):
        views_of(page)


def test_a_page_of_the_simple_api_may_be_empty() -> None:
    assert views_of(anchors(head=VERSION.format("1.0"))).json["files"] == []


def test_a_full_anchor_is_read_completely() -> None:
    page = anchors(
        anchor(
            f"{FILES}/{WHEEL}#sha256={SHA256.upper()}",
            data_requires_python="&gt;=3.8,&lt;4",
            data_yanked="bad &quot;build&quot;",
            data_core_metadata=f"sha256={METADATA_SHA256}",
            data_dist_info_metadata="true",
            data_gpg_sig="true",
            data_provenance="https://p.example.org/x?a=1&amp;b=2",
            data_size="1234",
            data_upload_time="2024-05-06T07:08:09.101112Z",
        ),
        head=VERSION.format("1.4"),
    )
    views = views_of(page)
    assert views.json == {
        "meta": {"api-version": "1.4"},
        "name": "sample",
        "versions": ["1.0"],
        "files": [
            {
                "filename": NAME,
                "url": f"../../{WHEEL}",
                "hashes": {"sha256": SHA256},
                "requires-python": ">=3.8,<4",
                "size": 1234,
                "upload-time": "2024-05-06T07:08:09.101112Z",
                "yanked": 'bad "build"',
                "core-metadata": {"sha256": METADATA_SHA256},
                "gpg-sig": True,
                "provenance": "https://p.example.org/x?a=1&b=2",
            }
        ],
    }
    assert views.rows == {
        WHEEL: Row(url=f"{FILES}/{WHEEL}", size=1234, hashes={"sha256": SHA256}),
        f"{WHEEL}.metadata": Row(
            url=f"{FILES}/{WHEEL}.metadata", hashes={"sha256": METADATA_SHA256}
        ),
        f"{WHEEL}.asc": Row(url=f"{FILES}/{WHEEL}.asc"),
    }


def test_a_bare_anchor_makes_an_honest_page_of_version_1_0() -> None:
    views = views_of(anchors(anchor(NAME)))
    assert views.json["meta"] == {"api-version": "1.0"}
    assert "versions" not in views.json
    assert views.file.keys() == {"filename", "url", "hashes", "core-metadata"}
    row, _ = views.rows.values()
    assert row == Row(url=f"https://index.example.org/simple/sample/{NAME}")


@pytest.mark.parametrize(
    ("claimed", "sizes", "shown"),
    [
        ("1.4", True, "1.4"),
        ("1.0", True, "1.1"),
        ("1.9", True, "1.4"),
        ("1.4", False, "1.0"),
        ("", True, "1.1"),
    ],
)
def test_version_1_1_and_later_are_claimed_only_with_all_sizes(
    claimed: str, sizes: bool, shown: str
) -> None:
    extra = {"data_size": "2"} if sizes else {}
    page = anchors(
        anchor(NAME, data_size="1"),
        anchor("sample-2.0.tar.gz", **extra),
        head=VERSION.format(claimed),
    )
    views = views_of(page)
    assert views.json["meta"]["api-version"] == shown
    assert views.json.get("versions") == (["1.0", "2.0"] if sizes else None)


@pytest.mark.parametrize("version", ["2.0", "0.9", "x", "1.0.0"])
def test_another_major_version_is_refused(version: str) -> None:
    with pytest.raises(BadIndex, match="version"):
        views_of(anchors(anchor(NAME), head=VERSION.format(version)))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"data_yanked": ""}, {"yanked": True}),
        ({"data_core_metadata": "true"}, {"core-metadata": True}),
        ({"data_core_metadata": "false"}, {"core-metadata": False}),
        ({"data_core_metadata": ""}, {"core-metadata": False}),
        ({"data_dist_info_metadata": "true"}, {"core-metadata": True}),
        ({"data_dist_info_metadata": "sha256=AB"}, {"core-metadata": {"sha256": "ab"}}),
        ({"data_gpg_sig": "false"}, {"gpg-sig": False}),
        ({"data_gpg_sig": "perhaps"}, {}),
        ({"data_size": "many"}, {}),
        ({"data_upload_time": "yesterday"}, {}),
        ({"data_upload_time": "2024-01-01T00:00:00Z"}, {"upload-time": "2024-01-01T00:00:00Z"}),
        ({"data_requires_python": ""}, {}),
        ({"data_unknown": "x"}, {}),
    ],
)
def test_attributes_are_read_as_the_peps_say(
    attributes: dict[str, str], expected: dict[str, Any]
) -> None:
    file = views_of(anchors(anchor(NAME, **attributes))).file
    said = {key: file[key] for key in file if key not in ("filename", "url", "hashes")}
    if not expected.get("core-metadata"):  # then they are ours to promise
        expected = {**expected, "core-metadata": True}
    assert said == expected


@pytest.mark.parametrize(
    ("fragment", "hashes"),
    [
        (f"sha256={SHA256}", {"sha256": SHA256}),
        (f"egg=sample&md5={'1' * 32}", {"md5": "1" * 32}),
        (f"sha512={'2' * 128}", {"sha512": "2" * 128}),
        ("egg=sample-1.0", {}),
        ("sha256", {}),
        ("sha256=", {}),
        ("=&&=", {}),
    ],
)
def test_hashes_come_from_the_fragment(fragment: str, hashes: dict[str, str]) -> None:
    assert views_of(anchors(anchor(f"{NAME}#{fragment}"))).file["hashes"] == hashes


@pytest.mark.parametrize("base", ["https://f.example.org/d/", "https://f.example.org/d/index.html"])
def test_relative_links_refer_to_the_base_element(base: str) -> None:
    views = views_of(anchors(anchor(NAME), head=f'<base href="{base}">'))
    assert {row.url for row in views.rows.values()} == {f"https://f.example.org/d/{NAME}"}


def test_the_project_status_is_read_and_written() -> None:
    head = (
        '<meta name="pypi:project-status" content="archived">'
        '<meta name="pypi:project-status-reason" content="see &lt;other&gt;">'
    )
    views = views_of(anchors(anchor(NAME), head=head))
    assert views.json["project-status"] == {"status": "archived", "reason": "see <other>"}
    for meta in head.split("><"):
        assert meta.strip("<>") in views.html


@pytest.mark.parametrize(
    "link",
    [
        '<a href="../">Parent directory</a>',
        '<a href="sub/">sub/</a>',
        '<a href="?C=M;O=A">Last modified</a>',
        '<a href="#top">top</a>',
        '<a href="/login.html">Sign in</a>',
        '<a href="mailto:a@example.org">mail</a>',
        '<a href="git+https://g.example.org/a.zip">git</a>',
        '<a href="file:///a.whl">a.whl</a>',
        '<a href="https://[bad/a.whl">a.whl</a>',
        '<a href="%ff.whl">x</a>',
        '<a href="a%2Fb.whl">a/b.whl</a>',
        '<a href="a%00b.whl">x</a>',
        '<a href="%2e%2e">..</a>',
        '<a name="x">a.whl</a>',
        '<a href="">a.whl</a>',
        '<a href="  ">a.whl</a>',
        '<!-- <a href="old-1.0.whl">old-1.0.whl</a> -->',
        '<script>"<a href=js-1.0.whl>js-1.0.whl</a>"</script>',
        "a < b, 1 <2, <>",
        f'<a href="{"x" * 300}.whl">x</a>',
    ],
)
def test_what_is_no_file_is_not_listed(link: str) -> None:
    views = views_of(anchors(link, anchor(NAME), link))
    assert views.file["filename"] == NAME
    assert [key for key in views.rows if not key.endswith(".metadata")] == [views.file["url"][6:]]


@pytest.mark.parametrize(
    "link",
    [
        f"<A HREF='{NAME}'>{NAME}</A>",
        f"<a\n  class=x href={NAME}  >\n  {NAME}\n</a>",
        f"<a title='a > b' href = '{NAME}'>{NAME}</a>",
        f'<a href="{NAME}" href="second.whl">{NAME}</a>',
        f'<a data-x=a"b href="{NAME}">{NAME}</a>',
        '<a href="sample&#45;1.0-py3-none-any.whl">sample...</a>',
        '<a href="s%61mple-1.0-py3-none-any.whl"><b>bold</b></a>',
        f'<a href="./{NAME}" data-x="&#{"9" * 5000};">{NAME}</a>',
    ],
)
def test_html_is_read_however_it_is_written(link: str) -> None:
    assert views_of(anchors(link)).file["filename"] == NAME


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "", JSON])
@pytest.mark.parametrize("before", ["", "\n" * 300, "\ufeff"])
def test_html_is_recognised_whatever_it_is_called(media_type: str, before: str) -> None:
    page = before + anchors(anchor(NAME))
    assert views_of(page, media_type=media_type).file["filename"] == NAME


def test_html_that_begins_with_text_is_known_by_its_type() -> None:
    assert views_of(f"Files: {anchor(NAME)}").file["filename"] == NAME


def test_unknown_kinds_of_files_pass_when_their_text_names_them() -> None:
    views = views_of(anchors(anchor("sample-1.0-variants.json")))
    assert views.file["filename"] == "sample-1.0-variants.json"


@pytest.mark.parametrize(
    "end", ["<a href=", '<a href="x', "<a", "<", "</a", "<!-- x", "<script>", "<!doctype"]
)
def test_a_page_that_is_cut_short_is_refused(end: str) -> None:
    with pytest.raises(BadIndex, match="cut short"):
        views_of(f"<html>{anchor(NAME)}{end}")


def test_a_page_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadIndex, match="not UTF-8"):
        views_of(b"<html>\xff</html>", media_type="text/html")


@pytest.mark.parametrize(
    "piece", ["<a ", '<a href="', "<!--", "</a ", "&", "<script>", "='", '<a b="', "< ", "<a b=' "]
)
def test_reading_takes_time_in_proportion_to_the_length(piece: str) -> None:
    started = time.process_time()
    try:
        for tag in tags(piece * 200_000):
            tag.attributes()
    except BadIndex:
        pass
    assert time.process_time() - started < 5  # half an hour where the time grows as the square


def test_html_says_all_that_it_can_of_what_json_said() -> None:
    page = sample_page(
        sample_file(yanked='"<why>"', gpg_sig=True, provenance="https://p.example.org/?a&b")
    )
    assert (
        f'<a href="../../{WHEEL}#sha256={SHA256}" data-requires-python="&gt;=3.8,&lt;4"'
        ' data-size="1234" data-upload-time="2024-05-06T07:08:09.101112Z"'
        ' data-yanked="&quot;&lt;why&gt;&quot;"'
        f' data-core-metadata="sha256={METADATA_SHA256}"'
        f' data-dist-info-metadata="sha256={METADATA_SHA256}" data-gpg-sig="true"'
        f' data-provenance="https://p.example.org/?a&amp;b">{NAME}</a>'
    ) in views_of(page).html


@pytest.mark.parametrize(
    ("meta", "shown"),
    [({"api-version": "1.0"}, "1.0"), ({"api-version": "1.7"}, "1.4"), ({}, "1.0"), (None, "1.0")],
)
def test_html_claims_the_version_of_its_source_up_to_the_last_that_html_has(
    meta: object, shown: str
) -> None:
    assert VERSION.format(shown) in views_of(sample_page(meta=meta)).html


@pytest.mark.parametrize(
    ("hashes", "fragment"),
    [
        ({"md5": "1" * 32, "sha256": HEX, "blake2b": "3"}, f"#sha256={HEX}"),
        ({"md5": "1" * 32, "sha512": "2" * 128}, f"#sha512={'2' * 128}"),
        ({"blake2b": "3"}, ""),
        ({"sha256": "", "sha1": "a b"}, ""),
        ({}, ""),
    ],
)
def test_the_best_hash_that_pip_knows_is_in_the_fragment(
    hashes: dict[str, str], fragment: str
) -> None:
    html = views_of(sample_page(sample_file(hashes=hashes))).html
    assert f'href="../../{WHEEL}{fragment}"' in html
