"""Row tables, mapped for as long as one job needs them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.core.blocks import Rows, opened
from proxy.errors import StorageError


@contextmanager
def mapped_table(path: Path) -> Iterator[Rows]:
    """The row table at *path*. Raises StorageError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as it:
            table = opened(it)
            try:
                yield table
            finally:
                table.close()
    except (OSError, ValueError) as error:
        raise StorageError(f"a row table cannot be read: {error}") from error
