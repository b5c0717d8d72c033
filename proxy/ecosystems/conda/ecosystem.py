"""A conda channel, as the gateway sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import zstandard

from proxy.core.active import Scope
from proxy.core.model import Index, Resource
from proxy.core.policy import Leaf
from proxy.core.rows import build
from proxy.ecosystems.base import ROWS, Advised, Body, Context, Judged, Rendered
from proxy.ecosystems.conda import closure, judging, listings, paths, shards, taking
from proxy.ecosystems.conda.channeldata import channeldata
from proxy.ecosystems.conda.pieces import Piece, flat
from proxy.ecosystems.conda.recipe import RECIPE
from proxy.ecosystems.conda.records import Dated, Judgeable, built, identity, seconds
from proxy.ecosystems.conda.repodata import read
from proxy.ecosystems.conda.sections import Sections, sections
from proxy.ecosystems.conda.specs import newest_first
from proxy.ecosystems.conda.text import objects, plain_text

_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(
    1,  # on repodata no larger than 3 or 5, which take twice and four times as long
    hash_log=13,  # a table near the processor: an eighth less work for 0.2 % more bytes
    threads=-1,
)
_PIECE = 8 << 20  # bytes compressed at a time, without the interpreter's lock
# One pass over the records gives all that clients of today ask for.
_MAIN = frozenset({paths.ZST.name, ROWS, "shards", "shardpack", taking.FORM}), frozenset({"json"})
_SIDE = frozenset({paths.ZST.name}), frozenset({"json"})


class Conda:
    """See `proxy.ecosystems.base.Ecosystem`."""

    name = "conda"
    recipe = RECIPE

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
        if filename in paths.LISTINGS:
            text, changed = listings.run_exports(index, body)
        else:
            text, changed = channeldata(index, body, context)
        yield from _texts(body, text, forms, changed=changed)

    def wrong(self, leaf: Leaf) -> str | None:
        """See `conda.judging`."""
        return judging.wrong(leaf)

    def doubtful(self, leaf: Leaf) -> str | None:
        """See `conda.judging`."""
        return judging.doubtful(leaf)

    def judged(self, index: Index, body: Body, context: Context) -> Iterator[Judged]:
        """Only of indexes that list packages. Raises BadIndex."""
        if index.path.rpartition("/")[2] not in paths.INDEXES or context.policy is None:
            return
        judge = judging.Judging(index, body, context, context.policy)
        for section in _sections(index, body).values():
            if section.kind is None:
                continue
            for key, record in section.records(Judgeable):
                yield Judged(
                    filename=section.filename(key),
                    name=record.name,
                    version=str(record.version),
                    published=judge.published(record),
                    verdict=judge.verdict(section.kind, record),
                )

    def undated(self, index: Index, body: Body) -> Iterator[tuple[bytes, float | None]]:
        """CEP 47's `indexed_timestamp` is the server's date; the builder's is no more than a
        hint at the age of what was there before us, and old packages have not even that.
        """
        for section in _sections(index, body).values():
            if section.kind is None:
                continue
            for _, record in section.records(Dated):
                if seconds(record.indexed_timestamp) is None:
                    yield identity(record), built(record)

    def decided_by(self, index: Index) -> Index | None:
        """A subdir's repodata.json decides for all its indexes."""
        folder, _, filename = index.path.rpartition("/")
        if filename in ("repodata.json", "channeldata.json"):
            return None
        return paths.repodata(index.mirror, folder)

    def listed(self, member: bytes) -> Iterator[str]:
        """The files of a shard. Raises BadIndex."""
        return shards.listed(member)

    def sums_up(self, index: Index) -> Callable[[str], bool] | None:
        """channeldata.json tells of the packages of all subdirs beside it."""
        label, _, filename = index.path.rpartition("/")
        return (lambda path: _label_of(path) == label) if filename == "channeldata.json" else None

    def supplement(self, index: Index) -> Index | None:
        """Run exports (CEP 12) belong into shards (CEP 21)."""
        folder, _, filename = index.path.rpartition("/")
        return paths.run_exports(index.mirror, folder) if filename == "repodata.json" else None

    def companions(self, index: Index, known: Iterable[str]) -> tuple[str, ...]:
        """Packages of a platform may need those of noarch, and noarch's are needed by all."""
        folder, _, filename = index.path.rpartition("/")
        label, _, subdir = folder.rpartition("/")
        if filename != "repodata.json":
            return ()
        if subdir != "noarch":
            return (index.path, f"{label}/noarch/repodata.json".lstrip("/"))
        beside = {path for path in known if _label_of(path) == label}
        return tuple(sorted({index.path, *beside}))

    def closed(
        self, index: Index, listed: Sequence[tuple[Index, Body]], specs: Iterable[Sequence[str]]
    ) -> bytes:
        """See `conda.closure`."""
        indexes = {one.path.split("/")[-2]: _sections(one, body) for one, body in listed}
        subdir = index.path.split("/")[-2]
        platforms = [subdir] if subdir != "noarch" else sorted(indexes)
        return closure.made(indexes, platforms, specs)

    def advised(self, index: Index) -> Advised | None:
        """Packages are looked up by the names that they have at PyPI."""
        return Advised("PyPI")

    def begins(self, mirror: str, scope: Scope) -> tuple[Index, ...]:
        """Every platform that clients know is tried: a channel need not say which it has."""
        return paths.begins(mirror, scope.platforms)

    def leads(self, index: Index, body: Body) -> Iterator[Index]:
        """Nowhere else."""
        yield from ()

    def path(self, index: Index, row: str) -> str:
        """Beside their index."""
        return f"{index.path.rpartition('/')[0]}/{row}"

    def companions_of(self, row: str) -> tuple[str, ...]:
        """A package is one file."""
        return ()

    def newest_first(self, versions: Iterable[str]) -> list[str]:
        """See `conda.specs`."""
        return newest_first(versions)


def _label_of(path: str) -> str | None:
    """The label whose subdir's repodata *path* is; None: it is another file."""
    folder, _, filename = path.rpartition("/")
    return folder.rpartition("/")[0] if filename == "repodata.json" else None


def _sections(index: Index, body: Body) -> Sections:
    return sections(objects(plain_text(index, body), index.path), index.path)


def _repodata(
    index: Index, body: Body, context: Context, forms: frozenset[str]
) -> Iterator[Rendered]:
    repodata = read(
        index,
        body,
        context,
        rowed=ROWS in forms,
        sharded="shards" in forms,
        noting=taking.FORM in forms,
    )
    yield from _texts(body, repodata.text, forms, changed=repodata.changed)
    if ROWS in forms:
        yield Rendered(form=ROWS, chunks=repodata.rows, hidden=repodata.hidden, apart=True)
    if "shards" in forms:
        contents, pack = shards.build(index, repodata.sharding)
        yield Rendered(form="shards", chunks=(contents,))
        yield Rendered(form="shardpack", chunks=build(pack), apart=True)
    if taking.FORM in forms:
        yield Rendered(form=taking.FORM, chunks=(repodata.notes,))


def _texts(
    body: Body, text: Sequence[Piece], forms: frozenset[str], *, changed: bool
) -> Iterator[Rendered]:
    """The JSON forms; upstream's own bytes where they say the same."""
    if "json" in forms:
        yield Rendered(form="json", chunks=flat(text))
    if "zst" in forms:
        same = body.source.endswith(".zst") and not changed
        chunks = (body.content,) if same else _compressed(text)
        yield Rendered(form="zst", chunks=chunks, apart=True)


def _compressed(text: Sequence[Piece]) -> Iterator[bytes]:
    size = sum(len(piece) for piece in text)  # said in the frame: some clients allocate by it
    compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS).compressobj(size=size)
    waiting: list[bytes | memoryview] = []
    length = 0
    for piece in flat(text):
        waiting.append(piece)
        length += len(piece)
        if length > _PIECE:
            yield compressor.compress(b"".join(waiting))
            waiting.clear()
            length = 0
    yield compressor.compress(b"".join(waiting))
    yield compressor.flush()
