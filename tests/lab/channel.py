"""A real conda channel of small installable packages, written from scratch into a folder.

The archives, `repodata.json` in its forms, shards (CEP 16) and the optional files of a channel
agree with each other in digests and sizes, so that released clients solve and install from it.
Serving the folder, and every fault, is left to `tests.lab.origin`.
"""

from __future__ import annotations

import bz2
import enum
import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zstandard

Record = dict[str, Any]

MADE_AT = 1_700_000_000  # seconds; one fixed time makes every build of a recipe byte-identical


class Archive(enum.Enum):
    """The two package formats; the value is the file name's ending."""

    CONDA = ".conda"
    BZ2 = ".tar.bz2"


class Form(enum.Enum):
    """How upstream offers its index; the value is the file name."""

    JSON = "repodata.json"
    ZST = "repodata.json.zst"
    BZ2 = "repodata.json.bz2"
    CURRENT = "current_repodata.json"
    SHARDS = "repodata_shards.msgpack.zst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One package to be: installed, it leaves `share/<name>/payload.bin` of `payload` bytes."""

    name: str
    version: str = "1.0"
    depends: tuple[str, ...] = ()
    subdir: str = "noarch"
    archive: Archive = Archive.CONDA
    payload: int = 2000  # bytes, incompressible

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-0"

    @property
    def filename(self) -> str:
        return self.stem + self.archive.value


def tree() -> tuple[Recipe, ...]:
    """Eight packages, nine files: `app` needs all others, directly or not."""
    return (
        Recipe(name="app", depends=("web >=2", "tool"), archive=Archive.BZ2),
        Recipe(name="web", version="1.0", depends=("core",)),
        Recipe(name="web", version="2.0", depends=("core", "text")),
        Recipe(name="tool", depends=("native 1.*",)),
        Recipe(name="core", depends=("base",)),
        Recipe(name="text", depends=("base",), archive=Archive.BZ2),
        Recipe(name="native", depends=("clib",), subdir="linux-64"),
        Recipe(name="clib", subdir="linux-64", payload=200_000, archive=Archive.BZ2),
        Recipe(name="base", payload=50_000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the channel offers, and where its packages lie.

    `pool` moves the packages to `<pool>/<subdir>/` beside the channel folder and says so in
    `info.base_url` (CEP 15). `relations` becomes `info.channel_relations` (CEP 42).
    """

    forms: frozenset[Form] = frozenset({Form.JSON, Form.ZST, Form.CURRENT})
    pool: str | None = None
    relations: Mapping[str, str] = field(default_factory=dict)
    run_exports: bool = False
    channeldata: bool = False
    notices: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What `build_channel` wrote: the channel's folder and each record by `subdir/filename`."""

    path: Path
    records: Mapping[str, Record]

    def filenames(self) -> list[str]:
        """`subdir/filename` of every package."""
        return sorted(self.records)


def build_channel(
    path: Path, recipes: Iterable[Recipe] | None = None, layout: Layout | None = None
) -> Channel:
    """Write a channel of *recipes* (`tree()` where none are given) into the folder *path*."""
    recipes = tree() if recipes is None else tuple(recipes)
    layout = Layout() if layout is None else layout
    subdirs: dict[str, dict[str, Record]] = {"noarch": {}, "linux-64": {}}
    for recipe in recipes:
        body = package_bytes(recipe)
        place = _packages_folder(path, layout, recipe.subdir) / recipe.filename
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        subdirs.setdefault(recipe.subdir, {})[recipe.filename] = _record(recipe, body)
    for subdir, records in subdirs.items():
        _write_index(path / subdir, subdir, records, layout)
    _write_extras(path, subdirs, layout)
    rows = {
        f"{subdir}/{name}": row for subdir, part in subdirs.items() for name, row in part.items()
    }
    return Channel(path=path, records=rows)


def _packages_folder(path: Path, layout: Layout, subdir: str) -> Path:
    return path / subdir if layout.pool is None else path.parent / layout.pool / subdir


# -- packages ----------------------------------------------------------------------------


def package_bytes(recipe: Recipe) -> bytes:
    """The archive of *recipe*: the same bytes every time."""
    payload = random.Random(recipe.stem).randbytes(recipe.payload)
    linked = f"share/{recipe.name}/payload.bin"
    info = {
        "info/index.json": _json(_index_json(recipe)),
        "info/files": f"{linked}\n".encode(),
        "info/paths.json": _json(_paths_json(linked, payload)),
        "info/about.json": _json({"summary": f"lab package {recipe.name}", "license": "CC0-1.0"}),
    }
    match recipe.archive:
        case Archive.BZ2:
            return bz2.compress(_tar({**info, linked: payload}))
        case Archive.CONDA:
            return _conda(recipe.stem, info=_tar(info), payload=_tar({linked: payload}))


def _index_json(recipe: Recipe) -> Record:
    noarch = recipe.subdir == "noarch"
    record: Record = {
        "name": recipe.name,
        "version": recipe.version,
        "build": "0",
        "build_number": 0,
        "depends": list(recipe.depends),
        "license": "CC0-1.0",
        "subdir": recipe.subdir,
        "timestamp": MADE_AT * 1000,
        "arch": None if noarch else "x86_64",
        "platform": None if noarch else "linux",
    }
    return {**record, "noarch": "generic"} if noarch else record


def _paths_json(linked: str, payload: bytes) -> Record:
    path = {
        "_path": linked,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "size_in_bytes": len(payload),
    }
    return {"paths_version": 1, "paths": [path]}


def _record(recipe: Recipe, body: bytes) -> Record:
    return {
        **_index_json(recipe),
        "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": len(body),
    }


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(body), MADE_AT, 0o644
            archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


def _conda(stem: str, *, info: bytes, payload: bytes) -> bytes:
    """The `.conda` container: a stored zip of two zstd tarballs and a format marker."""
    compress = zstandard.ZstdCompressor(level=3).compress
    members = {
        "metadata.json": b'{"conda_pkg_format_version": 2}',
        f"pkg-{stem}.tar.zst": compress(payload),
        f"info-{stem}.tar.zst": compress(info),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return out.getvalue()


# -- indexes -----------------------------------------------------------------------------


def _write_index(folder: Path, subdir: str, records: Mapping[str, Record], layout: Layout) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plain = _json(_repodata(subdir, records, layout))
    for form in layout.forms:
        match form:
            case Form.JSON | Form.CURRENT:
                (folder / form.value).write_bytes(plain)
            case Form.ZST:
                (folder / form.value).write_bytes(zstandard.ZstdCompressor().compress(plain))
            case Form.BZ2:
                (folder / form.value).write_bytes(bz2.compress(plain))
            case Form.SHARDS:
                _write_shards(folder, subdir, records, layout)


def _info(subdir: str, layout: Layout) -> Record:
    relations = {"channel_relations": dict(layout.relations)} if layout.relations else {}
    return {"subdir": subdir, **relations}


def _base_url(subdir: str, layout: Layout) -> str | None:
    """Where packages are, relative to the index (CEP 15); None: beside it."""
    return None if layout.pool is None else f"../../{layout.pool}/{subdir}/"


def _repodata(subdir: str, records: Mapping[str, Record], layout: Layout) -> Record:
    info, base_url = _info(subdir, layout), _base_url(subdir, layout)
    if base_url is not None:
        info["base_url"] = base_url
    return {
        "info": info,
        "packages": _ending(records, Archive.BZ2),
        "packages.conda": _ending(records, Archive.CONDA),
        "removed": [],
        "repodata_version": 1 if base_url is None else 2,
    }


def _ending(records: Mapping[str, Record], archive: Archive) -> dict[str, Record]:
    return {name: record for name, record in records.items() if name.endswith(archive.value)}


def _write_shards(folder: Path, subdir: str, records: Mapping[str, Record], layout: Layout) -> None:
    """CEP 16: one shard per package name, named by the digest of its compressed bytes."""
    (folder / "shards").mkdir(exist_ok=True)
    names: dict[str, bytes] = {}
    for name in sorted({record["name"] for record in records.values()}):
        own = {file: _raw(record) for file, record in records.items() if record["name"] == name}
        shard = {
            "packages": _ending(own, Archive.BZ2),
            "packages.conda": _ending(own, Archive.CONDA),
            "removed": [],
        }
        body = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(shard))
        digest = hashlib.sha256(body)
        names[name] = digest.digest()
        (folder / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(body)
    info = {
        **_info(subdir, layout),
        "base_url": _base_url(subdir, layout) or "./",
        "shards_base_url": "./shards/",
        "created_at": "2023-11-14T22:13:20Z",
    }
    index = msgspec.msgpack.encode({"version": 1, "info": info, "shards": names})
    (folder / Form.SHARDS.value).write_bytes(zstandard.ZstdCompressor().compress(index))


def _raw(record: Record) -> Record:
    """A record as shards hold it: digests as bytes (CEP 16)."""
    digests = {name: bytes.fromhex(record[name]) for name in ("md5", "sha256")}
    return {**record, **digests}


def _write_extras(path: Path, subdirs: Mapping[str, Mapping[str, Record]], layout: Layout) -> None:
    if layout.run_exports:
        for subdir, records in subdirs.items():
            body = _json(_run_exports(subdir, records))
            (path / subdir / "run_exports.json").write_bytes(body)
            compressed = zstandard.ZstdCompressor().compress(body)
            (path / subdir / "run_exports.json.zst").write_bytes(compressed)
    if layout.channeldata:
        (path / "channeldata.json").write_bytes(_json(_channeldata(subdirs)))
    if layout.notices:
        notice = {"id": "1", "message": "lab notice", "level": "info"}
        dates = {"created_at": "2023-11-14T22:13:20Z", "expired_at": "2033-11-14T22:13:20Z"}
        (path / "notices.json").write_bytes(_json({"notices": [{**notice, **dates}]}))


def _run_exports(subdir: str, records: Mapping[str, Record]) -> Record:
    """CEP 12."""
    exports = {
        file: {"run_exports": {"weak": [f"{record['name']} >={record['version']}"]}}
        for file, record in records.items()
    }
    return {
        "info": {"subdir": subdir, "version": 1},
        "packages": _ending(exports, Archive.BZ2),
        "packages.conda": _ending(exports, Archive.CONDA),
    }


def _channeldata(subdirs: Mapping[str, Mapping[str, Record]]) -> Record:
    """CEP 38."""
    packages: dict[str, Record] = {}
    for subdir, records in subdirs.items():
        for record in records.values():
            known = packages.setdefault(record["name"], {"subdirs": [], "license": "CC0-1.0"})
            known["version"] = record["version"]
            known["subdirs"] = sorted({*known["subdirs"], subdir})
    return {"channeldata_version": 1, "subdirs": sorted(subdirs), "packages": packages}


def _json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, indent=1).encode()
