"""A cache folder that is only read: on media that cannot be written, or not ours to write.

Nothing in it is locked, noted, counted, made or removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from diskcache.core import MODE_RAW

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.disk import DiskBlob
from proxy.storage.folder import READING, blob_path, check_format, verified
from proxy.storage.ports import Remembered, Stored
from proxy.storage.rows import decoded, keys_in, named_in

MARKER = ".readonly"
"""A file of this name in a cache folder, or in the folder above, says that it is only read."""

PROBE = 256 << 10
"""Bytes that must fit: a catalog makes some files when it is opened."""

_OPTIONS = ("mode=ro", "mode=ro&immutable=1")  # the second where no file can be made beside it
_REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


def refusal(root: Path) -> str:
    """Why *root* cannot be written: it is marked, refuses, or is full; "" where it can be.

    A folder that is not there yet refuses nothing.
    """
    for marked in (root, root.parent):
        if (marked / MARKER).exists():
            return f"is only read, for there is {marked / MARKER}"
    probe = root / f"probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as error:
        return f"is only read: {error.strerror}" if error.errno in _REFUSALS else ""
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return ""


class ReadOnlyBlobs:
    """The blobs in such a folder."""

    def __init__(self, root: Path) -> None:
        """Raises StorageError where *root* holds no store that is understood."""
        self.root = root
        try:
            check_format(root)
        except OSError as error:
            raise StorageError(
                f"{root} can only be read, and holds no cache: {error.strerror}"
            ) from error

    def __repr__(self) -> str:
        return f"<ReadOnlyBlobs {self.root}>"

    def open(self, digest: Digest, size: int) -> DiskBlob | None:
        """Open a blob; None where it is absent, or not *size* bytes long. Raises StorageError."""
        try:
            descriptor = os.open(blob_path(self.root, digest), READING)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"blob {digest} cannot be opened: {error.strerror}") from error
        if os.fstat(descriptor).st_size != size:
            os.close(descriptor)
            return None
        return DiskBlob(descriptor, digest, size)

    def check(self, digest: Digest) -> Stored | None:
        """What the blob is, having read it; None where it is absent or damaged. Raises OSError."""
        found = verified(self.path(digest))
        return found if found is not None and found.digest == digest else None

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return blob_path(self.root, digest)


class ReadOnlyCatalog:
    """The catalog in such a folder. Its methods wait for the disk, but for no writer."""

    def __init__(self, folder: Path, *, settled: bool) -> None:
        """*settled*: nobody writes it, so that SQLite need not make files beside it.

        Raises StorageError where the catalog cannot be read; a missing one is empty.
        """
        self._path = folder / "cache.db"
        log = folder / "cache.db-wal"
        # Left behind by a writer that was killed: it holds values, if it can be read.
        left = log.exists() and log.stat().st_size > 0
        self._options = ("mode=ro&immutable=1",) if settled and not left else _OPTIONS
        self._connection: sqlite3.Connection | None = None
        if self._path.exists():
            with self._as_storage_error():
                self._connection = self._connected()

    def __repr__(self) -> str:
        return f"<ReadOnlyCatalog {self._path.parent}>"

    def get(self, key: str) -> Remembered | None:
        """What is stored under *key*, if it can be decoded. Raises StorageError."""
        if self._connection is None:
            return None
        query = "SELECT value FROM Cache WHERE key = ? AND raw = 1 AND mode = ?"
        with self._as_storage_error():
            row = self._connection.execute(query, (key, MODE_RAW)).fetchone()
        try:
            return decoded(row[0]) if row else None
        except (ValueError, TypeError):
            return None

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with *prefix*; for any thread. Raises StorageError."""
        with self._reading() as connection:
            return [] if connection is None else list(keys_in(connection, prefix))

    def named(self, prefix: str = "") -> list[tuple[str, Digest]]:
        """The keys that start with *prefix*, each with the blob that its value names.

        For any thread. Raises StorageError.
        """
        with self._reading() as connection:
            return [] if connection is None else list(named_in(connection, prefix))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if self._connection is None:
            yield None
            return
        with self._as_storage_error(), contextlib.closing(self._connected()) as connection:
            yield connection

    def _connected(self) -> sqlite3.Connection:
        """Raises sqlite3.Error."""
        for option in self._options:
            address = f"file:{quote(str(self._path))}?{option}"
            connection = sqlite3.connect(address, uri=True)
            try:
                connection.execute("SELECT 1 FROM Cache LIMIT 1").fetchone()
            except sqlite3.OperationalError:  # the files beside it cannot be made
                connection.close()
                continue
            return connection
        raise sqlite3.OperationalError("no table of values")

    @contextlib.contextmanager
    def _as_storage_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"the catalog {self._path} cannot be read: {error}") from error
