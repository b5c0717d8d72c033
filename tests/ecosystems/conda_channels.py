"""Small channels for the tests of conda, and where the real ones lie."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from proxy.core.blocks import opened
from proxy.core.model import Index
from proxy.core.rows import Row, Table, decode_row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.ecosystem import Conda
from proxy.ecosystems.conda.shards import SOURCES

MIRROR = "conda/main"
CONDA = Conda()
PATH = "linux-64/repodata.json"
URL = "https://c.example.org/main/linux-64/repodata.json"
CONTEXT = Context(mirror=MIRROR, siblings=frozenset({"main"}))

SHA256 = "0123456789abcdef" * 4
MD5 = "fedcba9876543210" * 2


def index_of(path: str = PATH, mirror: str = MIRROR) -> Index:
    """The index that *path* is a form of."""
    found = CONDA.classify(mirror, path)
    assert isinstance(found, Index)
    return found


def record(name: str = "zlib", **more: Any) -> dict[str, Any]:
    """A record as conda-index writes it."""
    return {
        "build": "h1_0",
        "build_number": 0,
        "depends": ["libc >=2.17,<3.0.a0"],
        "md5": MD5,
        "name": name,
        "sha256": SHA256,
        "size": 1234,
        "version": "1.0",
    } | more


def channel(**more: Any) -> dict[str, Any]:
    """An index of two packages."""
    return {
        "info": {"subdir": "linux-64"},
        "packages": {"zlib-1.0-h1_0.tar.bz2": record()},
        "packages.conda": {
            "zlib-1.0-h1_0.conda": record(),
            "naïve-2-0.conda": record("naïve", size=None),
        },
        "removed": [],
        "repodata_version": 1,
    } | more


def packed(content: object) -> bytes:
    """*content* as upstream sends it: bytes as they are, all else as JSON."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def body_of(content: object, *, zst: bool = False, url: str = URL, path: str = PATH) -> Body:
    """What upstream answered."""
    raw = packed(content)
    return Body(
        content=zstandard.ZstdCompressor().compress(raw) if zst else raw,
        source=f"{path}.zst" if zst else path,
        media_type="application/octet-stream",
        url=f"{url}.zst" if zst else url,
    )


def render(
    body: Body, *forms: str, context: Context = CONTEXT, path: str = PATH
) -> dict[str, bytes]:
    """The forms of one generation, each in one piece."""
    index = index_of(path, context.mirror)
    views = CONDA.render(index, body, context, frozenset(forms))
    return {view.form: b"".join(view.chunks) for view in views}


def entries(made: Mapping[str, bytes]) -> dict[str, bytes]:
    """The row table among some forms, however it is divided into blocks."""
    return dict(opened(made["rows"]).items())


def shown(content: object, *, context: Context = CONTEXT, path: str = PATH) -> Any:
    """The JSON that clients get."""
    made = render(body_of(content, path=path), "json", context=context, path=path)
    return json.loads(made["json"])


def rows_of(content: object, **options: Any) -> dict[str, Row]:
    """What serving a file is told of every file."""
    table = opened(render(body_of(content, **options), "zst", "rows")["rows"])
    return {key: decode_row(table.get(key) or b"") for key in table.keys()}  # noqa: SIM118


def unpacked(raw: bytes) -> Any:
    """What a shard or an index of shards holds."""
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(raw))


def shards_of(
    content: object, *, context: Context = CONTEXT, path: str = PATH
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The shard index, read, and every shard as it is served, by its digest."""
    made = render(body_of(content, path=path), "shards", "shardpack", context=context, path=path)
    table = Table(made["shardpack"])
    return unpacked(made["shards"]), {k: one for k, one in table.items() if k != SOURCES}


def shard_of(content: object, name: str) -> Any:
    """What the shard of *name* holds."""
    contents, pack = shards_of(content)
    return unpacked(pack[contents["shards"][name].hex()])


@functools.cache
def data() -> Path:
    """The folder of real channels, or else the test is skipped."""
    beside = Path(__file__).parents[2] / "../shared/data"
    folder = Path(os.environ.get("PKGPROXY_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real channels here: set PKGPROXY_TEST_DATA to a folder of them")
    return folder


def real_indexes() -> Iterator[tuple[str, bytes]]:
    """Every real repodata.json, by its path in the folder."""
    for path in sorted(data().rglob("*.json")):
        if path.name == "repodata.json" or path.parent.name == "repodata":
            yield str(path.relative_to(data())), path.read_bytes()
