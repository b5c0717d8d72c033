"""What clients get of an index is what upstream sent, but for what would lead them past us."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import zstandard

from proxy.core.rows import Row
from proxy.ecosystems.base import Context
from proxy.errors import BadIndex
from tests.ecosystems.conda_channels import (
    CONDA,
    CONTEXT,
    MD5,
    PATH,
    SHA256,
    URL,
    body_of,
    channel,
    index_of,
    real_indexes,
    record,
    render,
    rows_of,
    shard_of,
    shards_of,
    shown,
)

BASE = {"subdir": "linux-64", "base_url": "https://pool.example.org/files"}
ODDLY_WRITTEN = (
    b'{ "info" : {"subdir":"linux-64","base_url":"x"} ,\n "packages": {"a-1-0.tar.bz2":\n'
    b'  {"name":"a", "size": 1.0e1,"\\u00e9":"\\/\\u00e9","n": 0.10, "n": 1e5 } },\n'
    b'"signatures": {"a-1-0.tar.bz2": {"key": {"signature" : "00"}}},"x":[1 ,2],"x y": {"":null}}'
)


# -- what stays --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "zst"])
@pytest.mark.parametrize("zst", [False, True])
def test_an_index_with_nothing_to_change_is_served_as_it_came(zst: bool, form: str) -> None:
    raw = ODDLY_WRITTEN.replace(b',"base_url":"x"', b"")
    body = body_of(raw, zst=zst)
    made = render(body, form)[form]
    assert (zstandard.ZstdDecompressor().decompress(made) if form == "zst" else made) == raw
    if zst and form == "zst":
        assert made == body.content  # upstream's own compression


def test_upstreams_compression_is_kept_even_in_several_frames() -> None:
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    raw = json.dumps(channel()).encode()
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    whole = compress(raw[:40]) + skippable + compress(b"") + compress(raw[40:])
    body = body_of(raw, zst=True)
    several = type(body)(content=whole, source=body.source, media_type="", url=body.url)
    assert render(several, "zst") == {"zst": whole}
    assert render(several, "json") == {"json": raw}


def test_a_change_leaves_every_other_byte_of_a_member_as_it_was() -> None:
    made = render(body_of(ODDLY_WRITTEN), "json")["json"]
    for member in (
        b'"packages":{"a-1-0.tar.bz2":\n  {"name":"a", "size": 1.0e1,"\\u00e9":"\\/\\u00e9",',
        b',"n": 0.10, "n": 1e5 } }',
        b'"signatures":{"a-1-0.tar.bz2": {"key": {"signature" : "00"}}}',
        b'"x":[1 ,2]',
        b'"x y":{"":null}',
    ):
        assert member in made
    assert list(json.loads(made)) == ["info", "packages", "signatures", "x", "x y"]


def test_an_index_is_rewritten_without_copies_of_it() -> None:
    index = index_of()
    body = body_of(channel(info=BASE, filler="x" * 1_000_000))
    tracemalloc.start()
    try:
        for view in CONDA.render(index, body, CONTEXT, frozenset({"json"})):
            assert sum(len(piece) for piece in view.chunks) > 1_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_frame_says_how_long_its_text_is() -> None:
    for content in (channel(), channel(info=BASE), b""):
        made = render(body_of(content), "json") | render(body_of(content), "zst")
        assert zstandard.frame_content_size(made["zst"]) == len(made["json"])


def test_a_change_is_in_both_texts() -> None:
    for zst in (False, True):
        body = body_of(channel(info=BASE), zst=zst)
        made = render(body, "json") | render(body, "zst")
        assert zstandard.ZstdDecompressor().decompress(made["zst"]) == made["json"]
        assert b"base_url" not in made["json"]


_ALL = [PATH, "linux-64/current_repodata.json", "linux-64/run_exports.json"]


@pytest.mark.parametrize("path", _ALL)
@pytest.mark.parametrize("zst", [False, True])
def test_an_empty_file_is_an_empty_object(zst: bool, path: str) -> None:
    body = body_of(b"", zst=zst, path=path)  # CEP 36
    assert render(body, "json", path=path) == {"json": b"{}"}
    made = render(body, "zst", path=path)["zst"]
    assert zstandard.ZstdDecompressor().decompress(made) == b"{}"


@pytest.mark.parametrize("zst", [False, True])
def test_an_empty_channel_has_no_rows_and_no_shards(zst: bool) -> None:
    assert rows_of(b"", zst=zst) == {}
    contents, pack = shards_of(b"")
    assert (contents["shards"], pack) == ({}, {})


def test_tables_are_optional_in_the_text() -> None:
    assert shown({}) == {}
    assert shown({"packages": {}}) == {"packages": {}}
    assert shown({"info": BASE, "repodata_version": 2}) == {
        "info": {"subdir": "linux-64"},
        "repodata_version": 1,
    }


def test_removed_stays_and_its_files_have_no_row() -> None:
    upstream = channel(removed=["gone-1-0.conda"])
    assert shown(upstream) == upstream
    assert "gone-1-0.conda" not in rows_of(upstream)


# -- packages elsewhere (CEP 15) -----------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "shown_version"), [({"repodata_version": 2}, 1), ({"repodata_version": 1}, 1)]
)
def test_base_url_goes_and_with_it_the_version_that_it_needed(
    version: dict[str, int], shown_version: int
) -> None:
    upstream = channel(info=BASE, **version)
    expected = channel(info={"subdir": "linux-64"}, repodata_version=shown_version)
    assert shown(upstream) == expected


def test_a_version_without_base_url_is_left_alone() -> None:
    assert shown(channel(repodata_version=2)) == channel(repodata_version=2)
    assert shown(channel(repodata_version=3, info=BASE))["repodata_version"] == 3


@pytest.mark.parametrize(
    ("base", "folder"),
    [
        ("https://pool.example.org/files/", "https://pool.example.org/files/"),
        ("https://pool.example.org/files", "https://pool.example.org/files/"),
        ("//pool.example.org", "https://pool.example.org/"),
        ("../../pool/", "https://c.example.org/pool/"),
        ("../../pool", "https://c.example.org/pool/"),
        ("pool", "https://c.example.org/main/linux-64/pool/"),
        ("/", "https://c.example.org/"),
        (".", "https://c.example.org/main/linux-64/"),
    ],
)
@pytest.mark.parametrize("zst", [False, True])
def test_rows_remember_where_packages_are(zst: bool, base: str, folder: str) -> None:
    rows = rows_of(channel(info={"base_url": base}), zst=zst)
    assert {name: row.url for name, row in rows.items()} == {
        "zlib-1.0-h1_0.tar.bz2": f"{folder}zlib-1.0-h1_0.tar.bz2",
        "zlib-1.0-h1_0.conda": f"{folder}zlib-1.0-h1_0.conda",
        "naïve-2-0.conda": f"{folder}na%C3%AFve-2-0.conda",
    }


@pytest.mark.parametrize("base", [None, ""])
def test_without_a_base_url_packages_lie_beside_the_index(base: str | None) -> None:
    upstream = channel(info={"subdir": "linux-64", "base_url": base})
    assert {row.url for row in rows_of(upstream).values()} == {None}
    assert "base_url" not in shown(upstream)["info"]


@pytest.mark.parametrize(
    ("filename", "written"),
    [
        ("x264-1!161.3030-h7_1.conda", "x264-1!161.3030-h7_1.conda"),
        ("a-1+cu118-0.conda", "a-1+cu118-0.conda"),
        ("http:a-1-0.conda", "http%3Aa-1-0.conda"),
        ("//evil.example.org/a-1-0.conda", "%2F%2Fevil.example.org%2Fa-1-0.conda"),
        ("a#b?c-1-0.conda", "a%23b%3Fc-1-0.conda"),
        ("a%2Fb-1-0.conda", "a%252Fb-1-0.conda"),
    ],
)
def test_a_file_name_never_leads_away_from_base_url(filename: str, written: str) -> None:
    rows = rows_of({"info": BASE, "packages.conda": {filename: record()}})
    assert rows[filename].url == f"https://pool.example.org/files/{written}"


# -- what serving a file takes ---------------------------------------------------------------


def _row_of(**fields: Any) -> Row:
    return rows_of({"packages": {"a-1-0.tar.bz2": record(**fields)}})["a-1-0.tar.bz2"]


def test_a_row_has_size_and_the_better_digest() -> None:
    assert _row_of() == Row(size=1234, hashes={"sha256": SHA256})
    assert _row_of(sha256=None) == Row(size=1234, hashes={"md5": MD5})
    assert _row_of(sha256=None, md5=None, size=None) == Row()
    assert _row_of(sha256=SHA256.upper()) == _row_of()
    bare = {"packages": {"a-1-0.tar.bz2": {"name": "a"}}}
    assert rows_of(bare) == {"a-1-0.tar.bz2": Row()}


@pytest.mark.parametrize("bad", ["", "0", "x" * 64, "../" * 21 + "x", SHA256 + "\n", SHA256[:-1]])
def test_what_is_no_digest_is_not_believed(bad: str) -> None:
    assert _row_of(sha256=bad).hashes == {"md5": MD5}
    assert _row_of(sha256=bad, md5=bad).hashes == {}


@pytest.mark.parametrize("size", [-1, 1 << 63, 1 << 70, "12", 1.5, [], True])
def test_what_is_no_size_is_a_bad_index(size: object) -> None:
    with pytest.raises(BadIndex, match=r"linux-64/repodata\.json, packages, .*size"):
        _row_of(size=size)


def test_a_record_without_a_name_is_a_bad_index() -> None:
    for forms in (("zst", "rows"), ("shards", "shardpack")):
        with pytest.raises(BadIndex, match="name"):
            render(body_of({"packages.conda": {"a-1-0.conda": {}}}), *forms)


# -- relations to other channels (CEP 42) ----------------------------------------------------

SERVED = frozenset({"main", "conda-forge", "pkgs/main", "pkgs/r", "bio/label/rc"})


@pytest.mark.parametrize(
    ("mirror", "folder", "target", "kept"),
    [
        ("main", "", "../conda-forge", True),
        ("main", "", "../conda-forge/", True),
        ("main", "", "../pkgs/r", True),
        ("main", "", "../conda-forge/label/dev", True),
        ("main", "", "../bioconda", False),
        ("main", "", "../../conda/conda-forge", True),
        ("main", "", "../../pypi/conda-forge", False),
        ("main", "", "../..", False),
        ("main", "", "..", False),
        ("main", "", "../", False),
        ("main", "", "conda-forge", False),
        ("main", "", "/conda/conda-forge", False),
        ("main", "", "https://conda.anaconda.org/conda-forge", False),
        ("main", "", "//c.example.org/conda/conda-forge", False),
        ("main", "", "../[", False),
        ("main", "", "../conda-forge/linux-64", False),
        ("pkgs/main", "", "../r", True),
        ("pkgs/main", "", "../../conda-forge", True),
        ("pkgs/main", "", "../conda-forge", False),
        ("main", "label/dev/", "../../../conda-forge", True),
        ("main", "label/dev/", "../..", True),
        ("main", "label/dev/", "../rc", True),
        ("main", "label/dev/", "../../conda-forge", False),
        ("main", "label/a/b/", "../../..", True),
        # A mirror may itself be called after a label.
        ("main", "", "../bio/label/rc", True),
        ("main", "", "../bio/label/rc/label/x", True),
        ("main", "", "../bio/label/dev", False),
        ("main", "", "../bio", False),
        ("conda-forge/label/rc", "", "../..", True),
        ("bio/label/rc", "", "../..", False),
        # Itself: clients must refuse a cycle.
        ("main", "", "../main", False),
        ("main", "", "../main/", False),
        ("main", "label/dev/", "../dev", False),
        # Out of our root: behind `/t/<token>/` that is another place.
        ("main", "", "../../../conda/conda-forge", False),
        ("main", "", "../../../../conda/conda-forge", False),
        ("main", "", "../conda-forge/../conda-forge", True),
        ("main", "", "../conda-forge/./", True),
        ("main", "", "..//conda-forge", False),
        ("main", "", "../conda-forge?x", False),
        ("main", "", "../conda-forge/label/dev?x", False),
        ("main", "", "../conda%2Dforge", False),
    ],
)
def test_a_relation_stays_where_it_leads_to_a_mirror_of_ours(
    mirror: str, folder: str, target: str, kept: bool
) -> None:
    upstream = channel(info={"subdir": "linux-64", "channel_relations": {"base": target}})
    context = Context(mirror=f"conda/{mirror}", siblings=SERVED)
    path = f"{folder}linux-64/repodata.json"
    info = shown(upstream, context=context, path=path)["info"]
    contents, _ = shards_of(upstream, context=context, path=path)
    assert info.get("channel_relations") == ({"base": target} if kept else None)
    assert contents["info"].get("channel_relations") == info.get("channel_relations")


def test_each_relation_is_judged_alone() -> None:
    relations = {"base": "../bioconda", "overrides": "../conda-forge", "odd": 7}
    upstream = channel(info={"channel_relations": relations})
    context = Context(mirror="conda/main", siblings=SERVED)
    kept = {"channel_relations": {"overrides": "../conda-forge"}}
    assert shown(upstream, context=context)["info"] == kept


@pytest.mark.parametrize("relations", [[], "../main", 7, {}, None, ["../main"]])
def test_relations_of_another_shape_are_not_passed_on(relations: object) -> None:
    upstream = channel(info={"channel_relations": relations})
    contents, _ = shards_of(upstream)
    for info in (shown(upstream)["info"], contents["info"]):
        assert info.get("channel_relations") is None


# -- the newest records (CEP 48) -------------------------------------------------------------


def _wheel(**more: Any) -> dict[str, Any]:
    return {"info": {"subdir": "noarch"}, "v3": {"whl": {"six-1.9-py3_0": record("six", **more)}}}


@pytest.mark.parametrize(
    ("url", "filename", "source"),
    [
        (
            "https://files.example.org/aa/six-1.9-py3-none-any.whl",
            "six-1.9-py3-none-any.whl",
            "https://files.example.org/aa/six-1.9-py3-none-any.whl",
        ),
        (
            "https://files.example.org/six-1.9%2Bcu1-py3-none-any.whl?x=1#y",
            "six-1.9+cu1-py3-none-any.whl",
            "https://files.example.org/six-1.9%2Bcu1-py3-none-any.whl?x=1#y",
        ),
        (
            "../wheels/six-1.9-py3-none-any.whl",
            "six-1.9-py3-none-any.whl",
            "https://c.example.org/main/wheels/six-1.9-py3-none-any.whl",
        ),
        (
            "https://files.example.org/download?id=7",
            "six-1.9-py3_0.whl",
            "https://files.example.org/download?id=7",
        ),
        (
            "https://files.example.org/a%2Fb.whl",
            "six-1.9-py3_0.whl",
            "https://files.example.org/a%2Fb.whl",
        ),
        (
            "https://files.example.org/a%0Ab.whl",
            "six-1.9-py3_0.whl",
            "https://files.example.org/a%0Ab.whl",
        ),
    ],
)
def test_a_wheel_is_fetched_through_us_from_wherever_it_is(
    url: str, filename: str, source: str
) -> None:
    upstream = _wheel(url=url)
    assert shown(upstream)["v3"]["whl"]["six-1.9-py3_0"] == record("six", url=filename)
    assert rows_of(upstream)[filename].url == source


def test_wheels_of_one_name_in_two_places_are_two_files() -> None:
    urls = {
        "a-1-0": "https://files.example.org/cpu/six-1.9-py3-none-any.whl",
        "a-1-1": "https://files.example.org/gpu/six-1.9-py3-none-any.whl",
        "a-1-2": "https://files.example.org/cpu/six-1.9-py3-none-any.whl",
    }
    table = {stem: record("six", url=url) for stem, url in urls.items()}
    upstream = {"info": {"subdir": "noarch"}, "v3": {"whl": table}}
    asked = {stem: one["url"] for stem, one in shown(upstream)["v3"]["whl"].items()}
    rows = rows_of(upstream)
    assert {stem: rows[name].url for stem, name in asked.items()} == urls
    assert asked == {
        "a-1-0": "six-1.9-py3-none-any.whl",
        "a-1-1": "a-1-1.whl",
        "a-1-2": "six-1.9-py3-none-any.whl",
    }
    assert shard_of(upstream, "six")["v3"]["whl"]["a-1-1"]["url"] == "a-1-1.whl"


def test_a_wheels_name_is_written_as_a_url() -> None:
    upstream = _wheel(url="https://files.example.org/a%23b%25c.whl")
    assert shown(upstream)["v3"]["whl"]["six-1.9-py3_0"]["url"] == "a%23b%25c.whl"
    assert list(rows_of(upstream)) == ["a#b%c.whl"]


@pytest.mark.parametrize(
    ("fields", "filename"),
    [
        ({"fn": "six-1.9-py3-none-any.whl"}, "six-1.9-py3-none-any.whl"),
        ({}, "six-1.9-py3_0.whl"),
        ({"fn": "../six.whl"}, "six-1.9-py3_0.whl"),
        ({"fn": "six.zip"}, "six-1.9-py3_0.whl"),
    ],
)
def test_a_wheel_without_a_url_lies_beside_the_index(fields: dict[str, str], filename: str) -> None:
    upstream = _wheel(**fields)
    assert shown(upstream) == upstream
    assert rows_of(upstream)[filename].url == URL.replace("repodata.json", filename)
    elsewhere = upstream | {"info": BASE}
    assert rows_of(elsewhere)[filename].url == f"https://pool.example.org/files/{filename}"


def test_other_new_records_are_found_by_their_whole_file_name() -> None:
    upstream = channel(v3={"conda": {"a-1-0": record("a")}, "tar.bz2": {"b-1-0": record("b")}})
    assert shown(upstream) == upstream
    rows = rows_of(upstream)
    assert rows["a-1-0.conda"] == rows["b-1-0.tar.bz2"] == Row(size=1234, hashes={"sha256": SHA256})
    elsewhere = rows_of(upstream | {"info": BASE})
    assert elsewhere["a-1-0.conda"].url == "https://pool.example.org/files/a-1-0.conda"


@pytest.mark.parametrize("url", ["https://[x/a.whl", "//[/a.whl"])
def test_an_address_that_is_none_is_a_bad_index(url: str) -> None:
    with pytest.raises(BadIndex, match=r"six-1\.9-py3_0.* is not a URL"):
        rows_of(_wheel(url=url))
    with pytest.raises(BadIndex, match=r"info\.base_url.* is not a URL"):
        rows_of(channel(info={"base_url": url}))


# -- other indexes -----------------------------------------------------------------------------


def test_other_indexes_of_packages_are_changed_alike() -> None:
    for name in ("current_repodata.json", "repodata_from_packages.json"):
        assert shown(channel(info=BASE), path=f"linux-64/{name}") == channel(
            info={"subdir": "linux-64"}
        )


@pytest.mark.parametrize("path", ["linux-64/run_exports.json", "channeldata.json"])
def test_listings_are_passed_on_as_they_are(path: str) -> None:
    raw = b'{"info": {"base_url": "kept"} , "packages":{}}'
    body = body_of(raw, path=path)
    assert render(body, "json", path=path) == {"json": raw}
    with pytest.raises(BadIndex, match=path):
        render(body_of(b"<html>", path=path), "json", path=path)


def test_real_indexes_are_served_as_they_came() -> None:
    for name, raw in real_indexes():
        upstream = json.loads(raw)
        has_wheels = "whl" in upstream.get("v3", {})
        has_base = "base_url" in upstream.get("info", {})
        made = render(body_of(raw), "json")["json"]
        assert (made == raw) is not (has_wheels or has_base), name
        again = json.loads(made)
        for key in upstream.keys() - {"info", "v3", "repodata_version"}:
            assert again[key] == upstream[key], (name, key)
        listed = {*upstream.get("packages", {}), *upstream.get("packages.conda", {})}
        assert listed <= rows_of(raw).keys()
