"""What runs off the event loop, mostly in another process: making views out of stored bytes.

Jobs and results are plain values that cross to the other process; bodies travel as files in
the store's workspace, never through the pipe.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import zstandard

from proxy.core.model import Digest, Index
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import Aside, Body, Context, Rendered
from proxy.errors import BadIndex, StorageError
from proxy.gateway.aside import aside, beside
from proxy.gateway.earlier import Earlier

CODINGS = ("zstd", "gzip")
"""Content codings that we make of compressible forms, best first."""

HALVED = 4 << 20
"""Bytes of a blob from which two processes share the work: of less one has done it as soon."""

_PIECE = 1 << 20  # bytes read at a time while encoding
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 6  # a page is encoded once and served often; above 6 gains 1-2 % for twice the time


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """Make `forms` of `index` from the blob at `blob`, as upstream sent it."""

    index: Index
    blob: Path
    source: str
    media_type: str
    url: str
    context: Context
    forms: frozenset[str]
    workspace: Path
    first_seen: Path | None = None  # the tables that the context names
    gate: Path | None = None
    gates: tuple[tuple[str, Path], ...] = ()
    closure: Path | None = None
    supplement: tuple[Path, str] | None = None  # and the path that it came from
    earlier: Mapping[str, tuple[Path, Digest]] = field(default_factory=dict)  # see `Earlier`


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeJob:
    """Apply a content coding to the blob at `blob`."""

    blob: Path
    coding: str
    workspace: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A finished file in the workspace."""

    form: str
    path: Path
    digest: Digest
    size: int
    hidden: Mapping[str, int] = field(default_factory=dict)


def render(job: RenderJob) -> list[Output]:
    """Run one render job. Raises BadIndex and StorageError."""
    ecosystem = ECOSYSTEMS[job.context.mirror.partition("/")[0]]
    outputs: list[Output] = []
    try:
        with contextlib.ExitStack() as stack:
            body = Body(
                content=stack.enter_context(mapped(job.blob)),
                source=job.source,
                media_type=job.media_type,
                url=job.url,
                first_seen=b"" if job.first_seen is None else job.first_seen.read_bytes(),
                gate=stack.enter_context(mapped(job.gate)) if job.gate else None,
                gates={path: stack.enter_context(mapped(rows)) for path, rows in job.gates},
                closure=stack.enter_context(mapped(job.closure)) if job.closure else None,
                supplement=_supplement(stack, job),
                earlier=Earlier(job.earlier, partial(_if_here, stack)),
                beside=beside,
                aside=_aside(job),
            )
            views = ecosystem.render(job.index, body, job.context, job.forms)
            _write(_having_read(body.content, views), job.workspace, outputs)
    except BaseException as error:
        for output in outputs:
            output.path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StorageError(f"rendering {job.index.path}: {error}") from error
        raise
    missing = job.forms - {output.form for output in outputs}
    if missing:
        raise BadIndex(f"{job.index.path} has no {', '.join(sorted(missing))}")
    return outputs


def _aside(job: RenderJob) -> Aside | None:
    return aside(job.workspace) if job.blob.stat().st_size >= HALVED else None


def _having_read(content: bytes | memoryview, views: Iterator[Rendered]) -> Iterator[Rendered]:
    """*views*, before the first of which all of *content* has been read: it need not stay in
    memory, from where it would be read again.
    """
    for number, view in enumerate(views):
        if number == 0 and isinstance(content, memoryview) and isinstance(content.obj, mmap.mmap):
            content.obj.madvise(mmap.MADV_DONTNEED)
        yield view


def _write(views: Iterator[Rendered], workspace: Path, outputs: list[Output]) -> None:
    """Add what *views* are to *outputs*, whatever else fails: it is known then and removed."""
    with ThreadPoolExecutor(2) as thread:
        begun: list[Future[Output]] = []
        try:
            for view in views:
                if view.apart:
                    begun.append(thread.submit(_output, view, workspace))
                else:
                    outputs.append(_output(view, workspace))
        finally:
            wait(begun)
            outputs += [one.result() for one in begun if one.exception() is None]
        for one in begun:
            one.result()


def _if_here(stack: contextlib.ExitStack, path: Path | None) -> bytes | memoryview | None:
    """What would only save work: where it is gone, it is done without."""
    if path is None:
        return None
    try:
        return stack.enter_context(mapped(path))
    except OSError:
        return None


def _supplement(stack: contextlib.ExitStack, job: RenderJob) -> Body | None:
    path, source = (None, "") if job.supplement is None else job.supplement
    content = _if_here(stack, path)
    return None if content is None else Body(content=content, source=source, media_type="", url="")


def _output(view: Rendered, workspace: Path) -> Output:
    return replace(written(view.form, view.chunks, workspace), hidden=dict(view.hidden))


def encode(job: EncodeJob) -> list[Output]:
    """Run one encode job. Raises StorageError."""
    try:
        with job.blob.open("rb") as file:
            pieces = iter(lambda: file.read(_PIECE), b"")
            return [written(job.coding, _encoded(pieces, job.coding), job.workspace)]
    except OSError as error:
        raise StorageError(f"encoding {job.blob.name}: {error}") from error


def _encoded(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    if coding == "zstd":
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
        yield from (compressor.compress(piece) for piece in pieces)
        yield compressor.flush()
    else:
        with tempfile.TemporaryFile() as file:
            # mtime 0: the same page encodes to the same bytes and so keeps its ETag.
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                for piece in pieces:
                    packed.write(piece)
            file.seek(0)
            yield from iter(lambda: file.read(_PIECE), b"")


def written(form: str, chunks: Iterable[bytes | memoryview], workspace: Path) -> Output:
    """A new file of *chunks* in the workspace. Raises OSError."""
    hashed = hashlib.sha256()
    size = 0
    descriptor, name = tempfile.mkstemp(dir=workspace, prefix=f"{os.getpid()}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                hashed.update(chunk)
                size += len(chunk)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Output(form=form, path=Path(name), digest=Digest(hashed.hexdigest()), size=size)


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[bytes | memoryview]:
    """The file's bytes without reading them in; an empty file cannot be mapped."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(mapping)
        try:
            yield view
        finally:
            # An ecosystem may keep slices alive in an exception's frames; the map then closes
            # when they go.
            with contextlib.suppress(BufferError):
                view.release()
                mapping.close()
