"""A bundle: blobs, and what is remembered of them, in one file that is carried to another site.

A bundle is a sequence of Zstandard frames, so any tool for them can test one. Each frame of content
stands behind a *mark*, a skippable frame (RFC 8878 section 3.1.2) that says what it is, and its
length. First come the blobs, then the manifest, at last a mark with the manifest's SHA-256, which
is the bundle's name: it covers every blob by its digest. The lengths in the marks are filled in
when their frames are complete, so what was broken off is continued behind the last whole one.

Nothing here knows of catalogs; records of the manifest are just bytes.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from proxy.core.model import Digest
from proxy.errors import IntegrityError, StorageError

LEVEL = 3
"""Of compression: packages are compressed already, indexes gain little beyond it."""

LARGEST_RECORD = 16 << 20
"""Bytes of one record of a manifest; a value takes a few hundred."""

_SKIPPABLE = 0x184D2A50
_MARK = struct.Struct(
    "<II8sc32sQQ"
)  # Zstandard's magic and length, ours, kind, digest, two numbers
_OURS = b"pkgprx-1"
_BLOB, _MANIFEST, _END = b"B", b"M", b"E"
_LENGTH = struct.Struct("<I")
_NOTHING = Digest("0" * 64)
_PIECE = 1 << 20  # bytes read at a time
_INPUT = 16 << 10  # packed bytes: a hostile frame unpacks to some thousand times as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What follows: `size` bytes whose SHA-256 is `digest`, packed into `packed` bytes.

    The end has the manifest's digest and, for its size, where the manifest's mark is.
    """

    kind: bytes
    digest: Digest
    size: int
    packed: int

    def encoded(self) -> bytes:
        """As it is written."""
        length = _MARK.size - 8
        digest = bytes.fromhex(self.digest)
        return _MARK.pack(_SKIPPABLE, length, _OURS, self.kind, digest, self.size, self.packed)


class _Frame:
    """A frame being written behind its mark, which is filled in at the end."""

    def __init__(self, file: IO[bytes], kind: bytes) -> None:
        self._file = file
        self._kind = kind
        self.at = file.tell()
        self._hash = hashlib.sha256()
        self._size = 0
        self._packing = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        file.write(Mark(kind=kind, digest=_NOTHING, size=0, packed=0).encoded())

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._size += len(piece)
        self._file.write(self._packing.compress(piece))

    def close(self) -> Mark:
        self._file.write(self._packing.flush())
        end = self._file.tell()
        mark = Mark(
            kind=self._kind,
            digest=Digest(self._hash.hexdigest()),
            size=self._size,
            packed=end - self.at - _MARK.size,
        )
        self._file.seek(self.at)
        self._file.write(mark.encoded())
        self._file.seek(end)
        return mark

    def undo(self) -> None:
        self._file.truncate(self.at)
        self._file.seek(self.at)


class BundleWriter:
    """Writes a bundle beside *path*, and renames it into place when it is whole."""

    def __init__(self, path: Path) -> None:
        """Continue what was broken off, if anything was. Raises OSError."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self.held: set[Digest] = set()
        self._file = self._part.open("r+b" if self._part.exists() else "w+b")
        self._manifest: _Frame | None = None
        end = 0
        for mark, start in _marks(self._file):
            if mark.kind != _BLOB or not _is_whole(self._file, mark, start):
                break
            self.held.add(mark.digest)
            end = start + mark.packed
        self._file.truncate(end)
        self._file.seek(end)

    def __repr__(self) -> str:
        return f"<BundleWriter {self._path} {len(self.held)} blobs>"

    def blob(self, digest: Digest, source: IO[bytes]) -> None:
        """Add a blob, unless it is there. Before all records.

        Raises IntegrityError where *source* is not that, and OSError.
        """
        if digest in self.held:
            return
        frame = _Frame(self._file, _BLOB)
        while piece := source.read(_PIECE):
            frame.write(piece)
        if frame.close().digest != digest:
            frame.undo()
            raise IntegrityError(
                f"blob {digest} is damaged; pkgproxy cache verify repairs the cache"
            )
        self.held.add(digest)

    def record(self, record: bytes) -> None:
        """Add a record to the manifest. Raises OSError."""
        if self._manifest is None:
            self._manifest = _Frame(self._file, _MANIFEST)
        self._manifest.write(_LENGTH.pack(len(record)) + record)

    def finish(self) -> Digest:
        """Write the end; returns the bundle's digest. Raises OSError."""
        assert self._manifest is not None
        digest = self._manifest.close().digest
        end = Mark(kind=_END, digest=digest, size=self._manifest.at, packed=0)
        self._file.write(end.encoded())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self._part.replace(self._path)
        return digest

    def close(self) -> None:
        """Leave what is written for another time."""
        self._file.close()


class Bundle:
    """A bundle that is read. It is whole, as far as its manifest goes; blobs are checked later."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError for what is no whole bundle, and OSError."""
        self._path = path
        self._file = path.open("rb")
        try:
            self.digest, self._manifest, self._start = self._opened()
        except (StorageError, IntegrityError):
            self._file.close()
            raise

    def __repr__(self) -> str:
        return f"<Bundle {self._path} {self.digest[:12]}>"

    def records(self) -> Iterator[bytes]:
        """The records of the manifest. Raises IntegrityError."""
        pieces = content(self._file, self._manifest, self._start)
        waiting = b""
        for piece in pieces:
            waiting += piece
            at = 0
            while len(waiting) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(waiting, at)
                if length > LARGEST_RECORD:
                    raise IntegrityError(f"{self._path}: a record is {length} bytes long")
                if len(waiting) - at - _LENGTH.size < length:
                    break
                at += _LENGTH.size
                yield waiting[at : at + length]
                at += length
            waiting = waiting[at:]
        if waiting:
            raise IntegrityError(f"{self._path}: the manifest ends within a record")

    def blobs(self) -> Iterator[tuple[Mark, Iterator[bytes]]]:
        """Each blob's mark and its bytes, which may be left unread. Raises IntegrityError."""
        end = self._start - _MARK.size
        at = 0
        for mark, start in _marks(self._file):
            at = start + mark.packed
            if mark.kind != _BLOB:
                at = start - _MARK.size
                break
            yield mark, content(self._file, mark, start)
        if at != end:
            raise IntegrityError(f"{self._path} is damaged at byte {at}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _opened(self) -> tuple[Digest, Mark, int]:
        length = self._file.seek(0, os.SEEK_END)
        end = _mark_at(self._file, length - _MARK.size)
        if end is None or end.kind != _END:
            raise StorageError(f"{self._path} is no whole bundle: cut short, or of another format")
        manifest = _mark_at(self._file, end.size)
        if manifest is None or manifest.kind != _MANIFEST or manifest.digest != end.digest:
            raise StorageError(f"{self._path} is damaged: its manifest is not where it should be")
        start = end.size + _MARK.size
        for _ in content(self._file, manifest, start):
            pass  # raises where it is damaged
        return end.digest, manifest, start


def content(file: IO[bytes], mark: Mark, start: int) -> Iterator[bytes]:
    """The bytes of the frame at *start*. Raises IntegrityError where they are not what *mark* says.

    Never more than *mark* promises, whatever the frame would unpack to.
    """
    hashed, size, read = hashlib.sha256(), 0, 0
    unpacking = zstandard.ZstdDecompressor().decompressobj()
    try:
        while read < mark.packed and not unpacking.eof:
            file.seek(start + read)  # others read in between
            packed = file.read(min(_INPUT, mark.packed - read))
            if not packed:
                break
            read += len(packed)
            piece = unpacking.decompress(packed)
            size += len(piece)
            if size > mark.size:
                break
            hashed.update(piece)
            if piece:
                yield piece
    except zstandard.ZstdError as error:
        raise IntegrityError(f"{file.name} is damaged behind byte {start}: {error}") from error
    if size != mark.size or hashed.hexdigest() != mark.digest:
        raise IntegrityError(f"{file.name} is damaged behind byte {start}: not {mark.digest}")


def _marks(file: IO[bytes]) -> Iterator[tuple[Mark, int]]:
    """The marks from the beginning on, as far as they are whole, and where their frames start."""
    at = 0
    while (mark := _mark_at(file, at)) is not None:
        at += _MARK.size
        yield mark, at
        at += mark.packed


def _mark_at(file: IO[bytes], at: int) -> Mark | None:
    if not 0 <= at <= file.seek(0, os.SEEK_END) - _MARK.size:
        return None
    file.seek(at)
    raw = file.read(_MARK.size)
    magic, length, ours, kind, digest, size, packed = _MARK.unpack(raw)
    if (magic, length, ours) != (_SKIPPABLE, _MARK.size - 8, _OURS):
        return None
    return Mark(kind=kind, digest=Digest(digest.hex()), size=size, packed=packed)


def _is_whole(file: IO[bytes], mark: Mark, start: int) -> bool:
    if mark.packed == 0:
        return False
    try:
        for _ in content(file, mark, start):
            pass
    except IntegrityError:
        return False
    return True
