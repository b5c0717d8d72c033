"""Shards made of an index say what the index says (CEP 16), and change only where it does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rattler import Channel, Gateway, SourceConfig

from proxy.core.model import Member
from proxy.core.rows import Table, build
from proxy.ecosystems.conda import shards
from proxy.errors import BadIndex, StorageError
from tests.ecosystems.conda_channels import (
    CONDA,
    MD5,
    MIRROR,
    SHA256,
    body_of,
    channel,
    real_indexes,
    record,
    render,
    shard_of,
    shards_of,
    unpacked,
)

FORMS = ("shards", "shardpack")


def _digests_in_bytes(record: dict[str, Any]) -> dict[str, Any]:
    digests = {
        key: bytes.fromhex(record[key]) for key in ("sha256", "md5") if record.get(key) is not None
    }
    return record | digests


def _merged(content: object) -> dict[str, Any]:
    """All shards put together again."""
    contents, pack = shards_of(content)
    merged: dict[str, Any] = {"packages": {}, "packages.conda": {}, "v3": {}, "removed": []}
    for digest in contents["shards"].values():
        shard = unpacked(pack[digest.hex()])
        for table in ("packages", "packages.conda"):
            merged[table] |= shard[table]
        for kind, records in shard.get("v3", {}).items():
            merged["v3"].setdefault(kind, {}).update(records)
        merged["removed"] += shard.get("removed", [])
    return merged


# -- the index of shards -----------------------------------------------------------------


def test_the_index_leads_to_nothing_but_us() -> None:
    info = {
        "subdir": "linux-64",
        "base_url": "https://pool.example.org/",
        "shards_base_url": "https://shards.example.org/",
        "created_at": "2026-01-01T00:00:00Z",
        "repodata_revisions": {"v3": {"n_packages": 0}},
    }
    contents, _ = shards_of(channel(info=info))
    assert contents["version"] == 1
    assert contents["info"] == info | {"base_url": "./", "shards_base_url": "./shards/"}
    assert contents.keys() == {"version", "info", "shards"}


@pytest.mark.parametrize("info", [{}, {"info": {}}, {"info": {"subdir": None}}])
def test_the_subdir_is_said_even_where_upstream_does_not(info: dict[str, Any]) -> None:
    contents, _ = shards_of(info)
    assert contents["info"]["subdir"] == "linux-64"


def test_a_shard_is_named_by_the_digest_of_its_compressed_bytes() -> None:
    contents, pack = shards_of(channel())
    assert contents["shards"].keys() == {"zlib", "naïve"}
    for digest in contents["shards"].values():
        assert isinstance(digest, bytes)  # mamba ignores texts
        assert hashlib.sha256(pack[digest.hex()]).digest() == digest
    assert len(pack) == len(contents["shards"])


def test_the_address_of_a_shard_is_the_one_that_the_index_makes() -> None:
    contents, pack = shards_of(channel())
    base = contents["info"]["shards_base_url"].removeprefix("./")
    for digest in contents["shards"].values():
        found = CONDA.classify(MIRROR, f"linux-64/{base}{digest.hex()}.msgpack.zst")
        assert isinstance(found, Member)
        assert found.row in pack


# -- one shard -----------------------------------------------------------------------------


def test_a_shard_has_both_tables_and_digests_in_bytes() -> None:
    assert shard_of(channel(), "naïve") == {
        "packages": {},
        "packages.conda": {
            "naïve-2-0.conda": _digests_in_bytes(record("naïve", size=None)),
        },
    }
    assert shard_of({"packages": {"a-1-0.tar.bz2": record("a")}}, "a") == {
        "packages": {"a-1-0.tar.bz2": _digests_in_bytes(record("a"))},
        "packages.conda": {},
    }


def test_a_record_keeps_whatever_else_it_has() -> None:
    more = {
        "indexed_timestamp": 1_700_000_000_123,
        "run_exports": {"weak": ["a >=1"]},
        "purls": None,
        "flags": [],
        "": {"x": [1.5, True, "é"]},
        "legacy_bz2_md5": MD5,  # hex, as in repodata
        "big": 2**64 - 1,
        "small": -(2**63),
    }
    upstream = {"packages.conda": {"a-1-0.conda": record("a", **more)}}
    shard = shard_of(upstream, "a")
    assert shard["packages.conda"]["a-1-0.conda"] == _digests_in_bytes(record("a", **more))


def _exporting(
    exports: object, earlier: Mapping[str, bytes] | None = None, **more: Any
) -> dict[str, bytes]:
    """The forms of a channel whose run exports are known to be *exports*."""
    tables = {"packages.conda": {"a-1-0.conda": record("a", **more), "b-1-0.conda": record("b")}}
    beside = body_of(exports, path="linux-64/run_exports.json")
    body = body_of(tables | {"v3": {"conda": {"a-2-0": record("a")}}})
    return render(replace(body, supplement=beside, earlier=earlier or {}), *FORMS)


def _shard_in(made: dict[str, bytes], name: str) -> dict[str, Any]:
    pack = Table(made["shardpack"])
    return dict(unpacked(pack.get(unpacked(made["shards"])["shards"][name].hex()) or b""))


def test_run_exports_that_are_known_are_in_the_shards() -> None:
    weak = {"weak": ["a >=1"], "strong": []}
    entries = {name: {"run_exports": weak, "x": 1} for name in ("a-1-0.conda", "a-2-0.conda")}
    made = _exporting({"packages": {"other-1-0.tar.bz2": {}}, "packages.conda": entries})
    shard = _shard_in(made, "a")
    assert shard["packages.conda"]["a-1-0.conda"]["run_exports"] == weak
    assert shard["v3"]["conda"]["a-2-0"]["run_exports"] == weak
    assert "run_exports" not in _shard_in(made, "b")["packages.conda"]["b-1-0.conda"]
    own = _exporting({"packages.conda": entries}, run_exports={"noarch": ["own"]})
    assert _shard_in(own, "a")["packages.conda"]["a-1-0.conda"]["run_exports"] == {
        "noarch": ["own"]
    }


@pytest.mark.parametrize(
    "odd",
    [
        b"<html>",
        {"packages.conda": []},
        {"packages.conda": {"a-1-0.conda": {"run_exports": {"weak": 2**70}}}},
        {"packages.conda": {"a-1-0.conda": {"run_exports": ["a"]}}},
        {"packages.conda": {"a-1-0.conda": {}}},
    ],
)
def test_run_exports_that_cannot_be_read_are_not_known(odd: object) -> None:
    assert _shard_in(_exporting(odd), "a") == _shard_in(_exporting({}), "a")


def test_only_the_shard_whose_run_exports_changed_is_another_one() -> None:
    before = _exporting({"packages.conda": {"a-1-0.conda": {"run_exports": {}}}})
    after = _exporting(
        {"packages.conda": {"a-1-0.conda": {"run_exports": {"weak": ["a"]}}}},
        earlier={"shardpack": before["shardpack"]},
    )
    old, new = (unpacked(made["shards"])["shards"] for made in (before, after))
    assert (old["a"] != new["a"], old["b"] == new["b"]) == (True, True)
    assert _shard_in(after, "a")["packages.conda"]["a-1-0.conda"]["run_exports"] == {"weak": ["a"]}


def test_digests_may_be_missing_or_null_and_what_is_none_is_left_out() -> None:
    upstream = {
        "packages": {
            "a-1-0.tar.bz2": record("a", sha256=None, md5="odd"),
            "a-2-0.tar.bz2": {"name": "a"},
            "a-3-0.tar.bz2": record("a", sha256=SHA256.upper(), md5="x" * 32),
        }
    }
    found = shard_of(upstream, "a")["packages"]
    assert found["a-1-0.tar.bz2"]["sha256"] is None
    assert "md5" not in found["a-1-0.tar.bz2"]
    assert found["a-2-0.tar.bz2"] == {"name": "a"}
    assert found["a-3-0.tar.bz2"]["sha256"] == bytes.fromhex(SHA256)
    assert "md5" not in found["a-3-0.tar.bz2"]


def test_removed_files_are_told_with_their_name() -> None:
    upstream = channel(removed=["zlib-0.9-0.conda", "gone-1-0.conda", "zlib-0.8-0.tar.bz2"])
    assert shard_of(upstream, "zlib")["removed"] == ["zlib-0.9-0.conda", "zlib-0.8-0.tar.bz2"]
    assert "removed" not in shard_of(upstream, "naïve")
    assert "gone" not in shards_of(upstream)[0]["shards"]  # a name without a record has no shard


def test_the_newest_records_are_in_their_names_shard() -> None:
    url = "https://files.example.org/six-1.9-py3-none-any.whl"
    newer = {
        "whl": {"six-1.9-py3_0": record("six", url=url)},
        "conda": {"zlib-2-0": record()},
        "later": {"zlib-3-0": record()},
    }
    upstream = channel(v3=newer)
    six = _digests_in_bytes(record("six", url="six-1.9-py3-none-any.whl"))
    assert shard_of(upstream, "six")["v3"] == {"whl": {"six-1.9-py3_0": six}}
    zlib = _digests_in_bytes(record())
    assert shard_of(upstream, "zlib")["v3"] == {
        "conda": {"zlib-2-0": zlib},
        "later": {"zlib-3-0": zlib},
    }
    assert "v3" not in shard_of(upstream, "naïve")


def test_a_number_that_msgpack_cannot_hold_is_a_bad_index() -> None:
    upstream = {"packages": {"a-1-0.tar.bz2": record("a", timestamp=2**64)}}
    with pytest.raises(BadIndex, match=r"linux-64/repodata\.json: the shard of a"):
        render(body_of(upstream), *FORMS)


@pytest.mark.parametrize("removed", [{}, "a", [1], None])
def test_removed_that_is_no_list_of_names_is_a_bad_index(removed: object) -> None:
    with pytest.raises(BadIndex, match="removed"):
        render(body_of(channel(removed=removed)), *FORMS)


# -- from one generation to the next -------------------------------------------------------


def test_a_name_keeps_its_shard_while_others_change() -> None:
    names = [f"p{number}" for number in range(50)]
    before = {"packages.conda": {f"{name}-1-0.conda": record(name) for name in names}}
    after = json.loads(json.dumps(before))
    after["packages.conda"]["p7-2-0.conda"] = record("p7")
    after["packages.conda"]["new-1-0.conda"] = record("new")
    del after["packages.conda"]["p9-1-0.conda"]
    old, new = shards_of(before)[0]["shards"], shards_of(after)[0]["shards"]
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    assert changed == {"p7", "p9", "new"}


def test_the_same_index_gives_the_same_bytes() -> None:
    body = body_of(channel(v3={"conda": {"a-1-0": record("a")}}))
    assert render(body, *FORMS) == render(body, *FORMS)
    zst = body_of(channel(v3={"conda": {"a-1-0": record("a")}}), zst=True)
    assert render(zst, *FORMS) == render(body, *FORMS)


# -- real channels -------------------------------------------------------------------------


def test_real_records_are_the_same_in_shards_and_in_the_index() -> None:
    for name, raw in real_indexes():
        upstream = json.loads(render(body_of(raw), "json")["json"])
        merged = _merged(raw)
        for table in ("packages", "packages.conda"):
            records = upstream.get(table, {})
            expected = {key: _digests_in_bytes(value) for key, value in records.items()}
            assert merged[table] == expected, (name, table)
        newer = {
            kind: {key: _digests_in_bytes(value) for key, value in records.items()}
            for kind, records in upstream.get("v3", {}).items()
        }
        assert merged["v3"] == {kind: records for kind, records in newer.items() if records}


@contextlib.asynccontextmanager
async def _served(files: dict[str, bytes]) -> AsyncIterator[str]:
    """The address of a server of *files* on the loopback interface."""

    async def answer(request: web.Request) -> web.Response:
        body = files.get(request.path)
        return web.Response(body=body, status=404 if body is None else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _files(raw: bytes) -> dict[str, bytes]:
    exports = {
        table: {name: {"run_exports": {"weak": ["x >=1"], "noarch": []}} for name in records}
        for table, records in json.loads(raw).items()
        if table in ("packages", "packages.conda")
    }
    beside = body_of(exports, path="linux-64/run_exports.json")
    made = render(body_of(raw), "json")
    made |= render(replace(body_of(raw), supplement=beside), *FORMS)
    table = Table(made["shardpack"])
    shards = {
        f"/sharded/linux-64/shards/{key}.msgpack.zst": table.get(key) or b""
        for key in table.keys()  # noqa: SIM118
    }
    return shards | {
        "/plain/linux-64/repodata.json": made["json"],
        "/plain/noarch/repodata.json": b"{}",
        "/sharded/linux-64/repodata_shards.msgpack.zst": made["shards"],
        "/sharded/noarch/repodata.json": b"{}",
    }


async def _seen_by_rattler(
    address: str, names: list[str], cache: Path, *, sharded: bool
) -> list[str]:
    gateway = Gateway(
        cache_dir=cache,
        default_config=SourceConfig(sharded_enabled=sharded),
        max_concurrent_requests=8,
    )
    found = await gateway.query([Channel(address)], ["linux-64"], names, recursive=False)
    assert {one.url.startswith(f"{address}/linux-64/") for group in found for one in group} == {
        True
    }
    return sorted(
        f"{one.file_name} {one.size} {one.sha256!r} {one.md5!r} {one.depends} {one.timestamp}"
        for group in found
        for one in group
    )


@pytest.mark.parametrize(
    ("path", "alike"),
    [
        ("repodata/pytorch_linux-64.json", True),
        ("repodata/r_linux-64.json", True),
        ("repodata/main_noarch.json", True),
        ("channels/with-wheels/linux-64/repodata.json", True),
        ("channels/conditional-repodata/noarch/repodata.json", True),
        # In repodata.json rattler overlooks wheels, and a .tar.bz2 that has a .conda as its twin.
        ("channels/sample/linux-64/repodata.json", False),
        ("channels/with-wheels/noarch/repodata.json", False),
    ],
)
def test_rattler_finds_the_same_packages_in_shards_and_in_the_index(
    path: str, alike: bool, tmp_path: Path
) -> None:
    raw = dict(real_indexes())[path]
    upstream = json.loads(raw)
    tables = [upstream["packages"], upstream.get("packages.conda", {})]
    records = ChainMap(*tables, *upstream.get("v3", {}).values())
    names = sorted({one["name"] for one in records.values()})

    async def main() -> tuple[list[str], list[str]]:
        async with _served(_files(raw)) as address:
            return (
                await _seen_by_rattler(f"{address}/sharded", names, tmp_path / "1", sharded=True),
                await _seen_by_rattler(f"{address}/plain", names, tmp_path / "2", sharded=False),
            )

    sharded, plain = asyncio.run(main())
    assert set(sharded) >= set(plain)
    assert (sharded == plain) is alike
    assert len(sharded) == len(records)


def test_shards_taken_from_an_earlier_pack_are_those_that_would_be_made() -> None:
    before = channel(removed=["zlib-0.9-0.conda"])
    after = channel(
        **{"packages.conda": {**before["packages.conda"], "naïve-3-0.conda": record("naïve")}},
        removed=["zlib-0.9-0.conda"],
    )
    earlier = render(body_of(before), *FORMS)
    anew = render(body_of(after), *FORMS)
    taken = render(replace(body_of(after), earlier=earlier), *FORMS)
    assert taken == anew
    # It is really taken: another one in its place shows up.
    made = shards.unpacked(Table(earlier["shardpack"]))
    other = made["zlib"]._replace(packed=b"other", digest=hashlib.sha256(b"other").digest())
    pack = b"".join(build(shards.pack(made | {"zlib": other})))
    shown = render(replace(body_of(after), earlier={"shardpack": pack}), *FORMS)
    assert Table(shown["shardpack"]).get(other.digest.hex()) == b"other"
    assert shown != anew


def test_a_pack_says_which_shards_are_in_it_or_none_is_known() -> None:
    earlier = render(body_of(channel()), *FORMS)["shardpack"]
    made = shards.unpacked(Table(earlier))
    assert {name: hashlib.sha256(one.packed).digest() for name, one in made.items()} == {
        name: one.digest for name, one in made.items()
    }
    assert set(made) == {"zlib", "naïve"}
    entries = shards.pack(made)
    lacking = {key: one for key, one in entries.items() if key != made["zlib"].digest.hex()}
    unsaid = {key: one for key, one in entries.items() if key != shards.SOURCES}
    for damaged in (lacking, unsaid, entries | {shards.SOURCES: b"damaged"}):
        pack = b"".join(build(damaged))
        with pytest.raises(StorageError):
            shards.unpacked(Table(pack))
        body = replace(body_of(channel()), earlier={"shardpack": pack})
        assert render(body, *FORMS)["shardpack"] == earlier
