"""What a path in a conda channel means (CEP 26, CEP 36).

A mirror of a channel shows its packages and their indexes, and nothing else. The deprecated
`.bz2` forms and `.jlap` are never offered: a HEAD and a GET of them agree on 404 at all times,
which clients remember for days.
"""

from __future__ import annotations

import re

from proxy.core.conditions import is_like
from proxy.core.model import Artifact, Form, Index, Member, Plain, Resource, Source
from proxy.ecosystems.paths import checked
from proxy.errors import UnknownPath

JSON = Form(name="json", media_type="application/json")
ZST = Form(name="zst", media_type="application/zstd", compressible=False)
SHARDS = Form(name="shards", media_type="application/octet-stream", compressible=False)
PACK = Form(name="shardpack", media_type="application/octet-stream", compressible=False)

INDEXES = ("repodata.json", "current_repodata.json", "repodata_from_packages.json")
"""Indexes that list packages; each is a generation of its own."""

LISTINGS = ("run_exports.json",)
"""Indexes by filename that need no rewriting (CEP 12)."""

SHARD_INDEX = "repodata_shards.msgpack.zst"

PLATFORMS = (
    *("linux-64", "linux-aarch64", "linux-ppc64le", "linux-32", "linux-armv6l", "linux-armv7l"),
    *("linux-ppc64", "linux-riscv32", "linux-riscv64", "linux-s390x", "linux-loongarch64"),
    *("osx-64", "osx-arm64", "win-64", "win-32", "win-arm64", "freebsd-64", "zos-z"),
    *("emscripten-wasm32", "wasi-wasm32"),
)
"""What conda's clients know, without noarch."""

_SUBDIR = re.compile(r"noarch|[a-z0-9]+-[a-z0-9]+")  # CEP 26
_SHARD = re.compile(r"([0-9a-f]{64})\.msgpack\.zst")
_PACKAGE = re.compile(r"[^/]+-[^-/]+-[^-/]+\.(conda|tar\.bz2)|[^/]+\.whl")
_MEDIA = {
    ".conda": "application/octet-stream",
    ".tar.bz2": "application/x-tar",
    ".whl": "application/zip",
}


def classify(mirror: str, path: str) -> Resource:
    """The resource at *path* of a channel. Raises UnknownPath."""
    path = checked(path)
    folder, _, filename = path.rpartition("/")
    parent, _, last = folder.rpartition("/")
    found: Resource | None = None
    if _SUBDIR.fullmatch(last):
        found = _in_subdir(mirror, path, folder, filename)
    elif last == "shards" and _SUBDIR.fullmatch(parent.rpartition("/")[2]):
        found = _shard(mirror, path, parent, filename)
    # A label may be called like a subdir, or `shards`.
    found = found or _at_root(mirror, path, folder, filename)
    if found is None:
        raise UnknownPath(f"a conda channel has no {path!r}")
    return found


def begins(mirror: str, patterns: tuple[str, ...]) -> tuple[Index, ...]:
    """The indexes of all platforms that are like one of *patterns* (none: of all), and noarch's."""
    wanted = [one for one in PLATFORMS if not patterns or is_like(one, patterns)]
    beside = (f"{one}/current_repodata.json" for one in ("noarch", *wanted))
    listing = [repodata(mirror, one) for one in ("noarch", *wanted)]
    return (*listing, *(_index(mirror, path, JSON) for path in (*beside, "channeldata.json")))


def repodata(mirror: str, folder: str, form: Form = JSON) -> Index:
    """The index of the subdir *folder*."""
    return _index(mirror, f"{folder}/repodata.json", form)


def run_exports(mirror: str, folder: str) -> Index:
    """The run exports of the subdir *folder*."""
    return _index(mirror, f"{folder}/run_exports.json", JSON)


def _in_subdir(mirror: str, path: str, folder: str, filename: str) -> Resource | None:
    plain = filename.removesuffix(".zst")
    if plain in INDEXES or plain in LISTINGS:
        return _index(mirror, f"{folder}/{plain}", ZST if filename != plain else JSON)
    if filename == SHARD_INDEX:
        return repodata(mirror, folder, SHARDS)
    found = _PACKAGE.fullmatch(filename)
    if found is None:
        return None
    ending = next(ending for ending in _MEDIA if filename.endswith(ending))
    return Artifact(
        mirror=mirror,
        path=path,
        index=repodata(mirror, folder),
        row=filename,
        media_type=_MEDIA[ending],
        # Removed packages "should still be accessible via direct URL" (CEP 36).
        fallback=Source(path=path),
    )


def _at_root(mirror: str, path: str, folder: str, filename: str) -> Resource | None:
    if folder and not folder.startswith("label/"):
        return None
    if filename == "channeldata.json":
        return Index(mirror=mirror, path=path, sources=(Source(path=path),), forms=(JSON,))
    if filename == "notices.json":
        # Clients ask for it without the token they hold, and never need it (CEP 6).
        return Plain(
            mirror=mirror,
            path=path,
            source=Source(path=path),
            media_type=JSON.media_type,
            anonymous=True,
            absent_on_error=True,
        )
    return None


def _shard(mirror: str, path: str, subdir: str, filename: str) -> Member | None:
    found = _SHARD.fullmatch(filename)
    if found is None:
        return None
    return Member(
        mirror=mirror,
        path=path,
        index=repodata(mirror, subdir),
        pack=PACK,
        row=found[1],
        media_type=SHARDS.media_type,
    )


def _index(mirror: str, path: str, form: Form) -> Index:
    sources = (Source(path=f"{path}.zst"), Source(path=path))
    return Index(mirror=mirror, path=path, sources=sources, forms=(form,))
