"""A conda channel, as the gateway sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import zstandard

from proxy.core.model import Index, Resource
from proxy.core.rows import build, encode_row
from proxy.ecosystems.base import ROWS, Body, Context, Rendered
from proxy.ecosystems.conda import paths, shards
from proxy.ecosystems.conda.repodata import Repodata, read, rows, shown_info
from proxy.ecosystems.conda.text import EMPTY, objects, plain_text

_LEVEL = 5  # of what upstream offers uncompressed only; 300 MB take a second
_MAIN = frozenset({paths.ZST.name, ROWS}), frozenset({"json"}), frozenset({"shards", "shardpack"})
_SIDE = frozenset({paths.ZST.name}), frozenset({"json"})


class Conda:
    """See `proxy.ecosystems.base.Ecosystem`."""

    name = "conda"
    recipe = 2

    def classify(self, mirror: str, path: str) -> Resource:
        """See `conda.paths`."""
        return paths.classify(mirror, path)

    def canonical(self, path: str) -> str | None:
        """Every file of a channel has one path."""
        return None

    def absent_body(self, index: Index) -> bytes | None:
        """A channel without noarch is none to any client, so an absent one is empty."""
        return b"{}" if index.path.split("/")[-2:] == ["noarch", "repodata.json"] else None

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """What a client of today asks for first comes first."""
        filename = index.path.rpartition("/")[2]
        if filename == "repodata.json":
            return _MAIN
        if filename == "channeldata.json":
            return (frozenset({"json"}),)
        return _SIDE

    def render(
        self, index: Index, body: Body, context: Context, forms: frozenset[str]
    ) -> Iterator[Rendered]:
        """All forms are made from the one generation. Raises BadIndex."""
        filename = index.path.rpartition("/")[2]
        if filename in paths.INDEXES:
            yield from _repodata(index, body, context, forms)
            return
        text = plain_text(index, body)
        objects(text, index.path)  # a page of HTML must not pass for an index
        yield from _texts(body, [text], forms, changed=text is EMPTY)


def _repodata(
    index: Index, body: Body, context: Context, forms: frozenset[str]
) -> Iterator[Rendered]:
    repodata = read(index, body, context)
    if ROWS in forms:
        yield Rendered(form=ROWS, chunks=_rows(index, repodata))
    if "shards" in forms:
        info = shown_info(index, repodata.info, context)
        contents, pack = shards.build(index, repodata.top, info)
        yield Rendered(form="shards", chunks=(contents,))
        yield Rendered(form="shardpack", chunks=build(pack))
    yield from _texts(body, repodata.text, forms, changed=repodata.changed)


def _rows(index: Index, repodata: Repodata) -> Iterator[bytes]:
    return build((filename, encode_row(row)) for filename, row in rows(index, repodata))


def _texts(
    body: Body, text: Sequence[bytes | memoryview], forms: frozenset[str], *, changed: bool
) -> Iterator[Rendered]:
    """The JSON forms; upstream's own bytes where they say the same."""
    if "json" in forms:
        yield Rendered(form="json", chunks=text)
    if "zst" in forms:
        same = body.source.endswith(".zst") and not changed
        yield Rendered(form="zst", chunks=(body.content,) if same else _compressed(text))


def _compressed(text: Sequence[bytes | memoryview]) -> Iterator[bytes]:
    size = sum(len(piece) for piece in text)  # said in the frame: some clients allocate by it
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=-1).compressobj(size=size)
    for piece in text:
        yield compressor.compress(piece)
    yield compressor.flush()
