"""What each path below a conda mirror means, and which paths mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Artifact, Index, Member, Plain, Source
from proxy.ecosystems.conda.ecosystem import Conda
from proxy.errors import UnknownPath

MIRROR = "conda/main"
CONDA = Conda()
DIGEST = "0123456789abcdef" * 4
SUBDIRS = ["linux-64", "noarch", "osx-arm64", "zos-z", "label/dev/linux-64", "label/a/b/noarch"]


def _index(path: str, mirror: str = MIRROR) -> Index:
    found = CONDA.classify(mirror, path)
    assert isinstance(found, Index)
    return found


@pytest.mark.parametrize("subdir", SUBDIRS)
@pytest.mark.parametrize(
    ("filename", "generation", "form", "media_type"),
    [
        ("repodata.json", "repodata.json", "json", "application/json"),
        ("repodata.json.zst", "repodata.json", "zst", "application/zstd"),
        (
            "repodata_shards.msgpack.zst",
            "repodata.json",
            "shards",
            "application/octet-stream",
        ),
        ("current_repodata.json", "current_repodata.json", "json", "application/json"),
        ("current_repodata.json.zst", "current_repodata.json", "zst", "application/zstd"),
        (
            "repodata_from_packages.json",
            "repodata_from_packages.json",
            "json",
            "application/json",
        ),
        (
            "repodata_from_packages.json.zst",
            "repodata_from_packages.json",
            "zst",
            "application/zstd",
        ),
        ("run_exports.json", "run_exports.json", "json", "application/json"),
        ("run_exports.json.zst", "run_exports.json", "zst", "application/zstd"),
    ],
)
def test_an_index_in_a_subdir_is_one_form_of_one_generation(
    subdir: str, filename: str, generation: str, form: str, media_type: str
) -> None:
    found = _index(f"{subdir}/{filename}")
    path = f"{subdir}/{generation}"
    assert (found.mirror, found.path, found.key) == (MIRROR, path, f"{MIRROR} {path}")
    assert [(one.name, one.media_type) for one in found.forms] == [(form, media_type)]
    # Compressed comes first: a fifth of the bytes (CEP 36 recommends it).
    assert [one.path for one in found.sources] == [f"{path}.zst", path]


def test_only_json_may_be_compressed_on_the_way() -> None:
    compressible = {
        form.name: form.compressible
        for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
        for form in _index(f"noarch/{name}").forms
    }
    assert compressible == {"json": True, "zst": False, "shards": False}


@pytest.mark.parametrize(
    "path",
    [
        "noarch/repodata.json",
        "noarch/current_repodata.json",
        "noarch/repodata_from_packages.json",
        "noarch/run_exports.json",
        "channeldata.json",
        "label/dev/noarch/repodata.json",
    ],
)
def test_every_form_asked_for_is_rendered_in_exactly_one_group(path: str) -> None:
    groups = CONDA.groups(_index(path))
    made = [form for group in groups for form in group]
    assert len(made) == len(set(made))
    asked = {form.name for form in _index(path).forms}
    if path.startswith("noarch"):
        asked |= {form.name for form in _index(f"{path}.zst").forms}
    assert asked <= set(made)
    shards = path.endswith("/repodata.json")
    assert ({"rows", "shards", "shardpack"} <= set(made)) is shards


@pytest.mark.parametrize("folder", ["", "label/dev/", "label/a/b/", "label/py-dev/", "label/x_y/"])
def test_channeldata_lies_at_the_root_of_a_channel_or_of_a_label(folder: str) -> None:
    found = _index(f"{folder}channeldata.json")
    assert found.path == f"{folder}channeldata.json"
    assert found.sources == (Source(path=found.path),)
    assert [form.name for form in found.forms] == ["json"]


@pytest.mark.parametrize("folder", ["", "label/dev/", "label/a/b/", "label/py-dev/", "label/x_y/"])
def test_notices_are_asked_for_without_credentials_and_never_fail(folder: str) -> None:
    path = f"{folder}notices.json"
    assert CONDA.classify(MIRROR, path) == Plain(
        mirror=MIRROR,
        path=path,
        source=Source(path=path),
        media_type="application/json",
        anonymous=True,
        absent_on_error=True,
    )


@pytest.mark.parametrize("subdir", SUBDIRS)
@pytest.mark.parametrize(
    ("filename", "media_type"),
    [
        ("zlib-1.2.11-h62dcd97_3.conda", "application/octet-stream"),
        ("zlib-1.2.11-h62dcd97_3.tar.bz2", "application/x-tar"),
        ("_r-mutex-1.0.0-anacondar_1.conda", "application/octet-stream"),
        ("x264-1!161.3030-h7f98852_1.tar.bz2", "application/x-tar"),
        ("pytorch-2.1+cu118-py3.11_cuda11.8_0.conda", "application/octet-stream"),
        ("so me-1~rc1-%7e@0.conda", "application/octet-stream"),
        ("naïve-1-0.conda", "application/octet-stream"),
        ("six-1.9.0-py2.py3-none-any.whl", "application/zip"),
        ("shards-1-0.conda", "application/octet-stream"),
    ],
)
def test_a_package_is_a_row_of_its_subdirs_index(
    subdir: str, filename: str, media_type: str
) -> None:
    path = f"{subdir}/{filename}"
    assert CONDA.classify(MIRROR, path) == Artifact(
        mirror=MIRROR,
        path=path,
        index=_index(f"{subdir}/repodata.json"),
        row=filename,
        media_type=media_type,
        fallback=Source(path=path),  # one that was removed is still to be had (CEP 36)
    )


@pytest.mark.parametrize("subdir", SUBDIRS)
def test_a_shard_is_a_member_of_its_subdirs_pack(subdir: str) -> None:
    found = CONDA.classify(MIRROR, f"{subdir}/shards/{DIGEST}.msgpack.zst")
    assert isinstance(found, Member)
    assert found.index == _index(f"{subdir}/repodata.json")
    assert found.index.key == _index(f"{subdir}/repodata_shards.msgpack.zst").key
    assert (found.pack.name, found.pack.compressible) == ("shardpack", False)
    assert found.row == DIGEST


def test_a_label_may_be_called_like_a_folder_of_ours() -> None:
    assert _index("label/shards/channeldata.json").path == "label/shards/channeldata.json"
    assert _index("label/shards/noarch/repodata.json").path == "label/shards/noarch/repodata.json"
    found = CONDA.classify(MIRROR, f"label/shards/noarch/shards/{DIGEST}.msgpack.zst")
    assert found.key.endswith(f"label/shards/noarch/shards/{DIGEST}.msgpack.zst")


def test_a_mirrors_name_may_have_slashes() -> None:
    found = _index("linux-64/repodata.json.zst", "conda/pkgs/main")
    assert (found.mirror, found.path) == ("conda/pkgs/main", "linux-64/repodata.json")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "linux-64",
        "linux-64/",
        "noarch/",
        "repodata.json",
        "index.html",
        "last-updated.json",
        "channeldata.json/",
        "channeldata.json.zst",
        "linux-64/channeldata.json",
        "linux-64/notices.json",
        "other/channeldata.json",
        "label/channeldata.json",
        "Linux-64/repodata.json",
        "linux/repodata.json",
        "linux-x86_64/repodata.json",
        "linux-64-v3/repodata.json",
        "linux-64/x/repodata.json",
        "linux-64/index.html",
        "linux-64/patch_instructions.json",
        "linux-64/repodata_shards.msgpack",
        "linux-64/repodata_shards.msgpack.zst/",
        "linux-64/zlib.conda",
        "linux-64/zlib-1.2.conda",
        "linux-64/zlib-1.2-0.conda/",
        "linux-64/zlib-1.2-0.zip",
        "linux-64/zlib-1.2-0.tar.gz",
        "linux-64/zlib-1.2-0.conda.sig",
        "linux-64/zlib-1.2-0.conda.metadata",
        "linux-64/.whl",
        f"shards/{DIGEST}.msgpack.zst",
        f"other/shards/{DIGEST}.msgpack.zst",
        f"linux-64/{DIGEST}.msgpack.zst",
        f"linux-64/shards/{DIGEST.upper()}.msgpack.zst",
        f"linux-64/shards/{DIGEST[1:]}.msgpack.zst",
        f"linux-64/shards/{DIGEST}.msgpack",
        "linux-64/shards/",
        "linux-64/shards/repodata.json",
    ],
)
def test_what_a_channel_does_not_have_is_unknown(path: str) -> None:
    with pytest.raises(UnknownPath):
        CONDA.classify(MIRROR, path)


@pytest.mark.parametrize("subdir", ["linux-64", "noarch", "label/dev/noarch"])
@pytest.mark.parametrize(
    "filename",
    [
        "repodata.json.bz2",
        "current_repodata.json.bz2",
        "repodata_from_packages.json.bz2",
        "run_exports.json.bz2",
        "repodata.json.gz",
        "repodata.jlap",
        "repodata_shards_daily.msgpack.zst",
        "repodata2.json",
    ],
)
def test_deprecated_forms_are_never_offered(subdir: str, filename: str) -> None:
    with pytest.raises(UnknownPath):
        CONDA.classify(MIRROR, f"{subdir}/{filename}")


@pytest.mark.parametrize(
    "path",
    [
        "../main/noarch/repodata.json",
        "noarch/../noarch/repodata.json",
        "./noarch/repodata.json",
        "noarch//repodata.json",
        "/noarch/repodata.json",
        "label/../noarch/repodata.json",
        "label/../../other/noarch/repodata.json",
        "label/../channeldata.json",
        "noarch\\..\\repodata.json",
        "noarch/..\\a-1-0.conda",
        "noarch/a-1-0.conda\n",
        "noarch/a\0-1-0.conda",
        "noarch/../a-1-0.conda",
        "noarch/" + "a" * 2048 + "-1-0.conda",
    ],
)
def test_no_path_leaves_the_channel(path: str) -> None:
    with pytest.raises(UnknownPath):
        CONDA.classify(MIRROR, path)


_SEGMENTS = [
    *("noarch", "linux-64", "label", "shards", "..", ".", "", "dev", "py-dev", "\\", "\n"),
    *("repodata.json", "repodata.json.zst", "channeldata.json", "notices.json"),
    *("a-1-0.conda", "a-1-0.tar.bz2", "a.whl", f"{DIGEST}.msgpack.zst"),
]


@given(st.text() | st.lists(st.sampled_from(_SEGMENTS), max_size=6).map("/".join))
def test_any_path_means_something_below_the_channel_or_is_unknown(path: str) -> None:
    try:
        found = CONDA.classify(MIRROR, path)
    except UnknownPath:
        return
    assert CONDA.canonical(path) is None
    sources: tuple[Source, ...] = ()
    match found:
        case Index():
            sources = found.sources
        case Artifact():
            assert found.fallback is not None
            sources = (found.fallback, *found.index.sources)
        case Plain():
            sources = (found.source,)
        case Member():
            sources = found.index.sources
    for source in sources:
        assert ".." not in source.path.split("/")
        assert "" not in source.path.split("/")


def test_a_channel_without_noarch_has_an_empty_one() -> None:
    # Every client takes a 404 of noarch for "this is not a channel" (CEP 26).
    for path in ("noarch/repodata.json", "label/dev/noarch/repodata.json"):
        assert CONDA.absent_body(_index(path)) == b"{}"
    for path in ("linux-64/repodata.json", "noarch/current_repodata.json", "channeldata.json"):
        assert CONDA.absent_body(_index(path)) is None
