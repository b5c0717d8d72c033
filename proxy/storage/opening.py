"""Opening a store: which folders are only read, which one takes what is new, who else is here.

Several processes of one machine may share a folder, workers of one server or servers of their
own: everything in it is made for that. Two machines that share one by a network file system may
not both write it, for SQLite's log is shared memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import StorageError
from proxy.storage.catalog import IN_MEMORY, DiskCatalog
from proxy.storage.disk import DiskBlobs
from proxy.storage.folder import note_loss
from proxy.storage.layered_catalog import LayeredCatalog
from proxy.storage.layers import SPARE, Layer, LayeredBlobs
from proxy.storage.read_only import ReadOnlyBlobs, ReadOnlyCatalog, refusal
from proxy.storage.spool import as_storage_error
from proxy.storage.trouble import Trouble

_OWNER = 200  # bytes of the lock file
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open store. `root` is the folder that takes what is new."""

    blobs: LayeredBlobs
    catalog: LayeredCatalog
    root: Path
    lock: int

    @property
    def written(self) -> list[DiskBlobs]:
        """The folders that are written: the main one, and the spare one."""
        spare = self.blobs.spare
        return [self.blobs.main] if spare in (None, self.blobs.main) else [self.blobs.main, spare]

    async def aclose(self) -> None:
        """Close everything. Nothing is read or written any more."""
        try:
            await self.catalog.aclose()
        finally:
            await self.blobs.aclose()
            os.close(self.lock)


def opened(
    layers: Sequence[Path],
    *,
    spare: Path | None = None,
    limit: int | None = None,
    trouble: Trouble | None = None,
    on_loss: Callable[[str], None] = lambda _: None,
    in_memory: int = IN_MEMORY,
) -> Store:
    """Open the store in *layers*, with *spare* for what they have no room for.

    *limit* is the quota of the folder that takes what is new; *on_loss* hears of whatever of the
    catalog had to be given up; *in_memory* of its values are kept there. Raises StorageError.
    """
    trouble = trouble or Trouble()
    refusals = {path: refusal(path) for path in layers}
    root = next((path for path in layers if not refusals[path]), spare)
    why = "; ".join(f"{path} {text}" for path, text in refusals.items() if text)
    if root is None:
        raise StorageError(f"no folder of cache.path can be written: {why}")
    if root == spare:
        trouble.raised(
            "writing", f"no folder of cache.path can be written: {why}; for now {root} is"
        )
    with contextlib.ExitStack() as undo, as_storage_error():
        others = [path for path in layers if path != root]
        main = DiskBlobs(root, limit=SPARE if root == spare else limit, trouble=trouble)
        by_path: dict[Path, Layer] = {path: ReadOnlyBlobs(path) for path in others}
        by_path[root] = main
        catalogs = [
            ReadOnlyCatalog(path / "catalog", settled=bool(refusals[path])) for path in others
        ]
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        undo.callback(os.close, lock)
        alone = _claimed(root, lock)
        if alone and not (root / "catalog" / "cache.db").exists():
            note_loss(root)
        catalog = DiskCatalog(root / "catalog", on_loss=on_loss, alone=alone, in_memory=in_memory)
        _share(root, lock)
        more = main if root == spare else None if spare is None else DiskBlobs(spare, limit=SPARE)
        undo.pop_all()
    order = (*layers, root) if root == spare else tuple(layers)
    return Store(
        blobs=LayeredBlobs([by_path[path] for path in order], main, more, trouble),
        catalog=LayeredCatalog(catalog, catalogs, trouble),
        root=root,
        lock=lock,
    )


def _claimed(root: Path, lock: int) -> bool:
    """Lock the folder; returns whether nobody else has: then others wait for `_share`.

    The lock belongs to a machine, whichever of its processes hold it. In the file stands its
    number, which is another after each boot and the same in all of its containers, and its name.
    Raises StorageError.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _share(root, lock)
        return False
    if _owner(lock)[0] != _machine():
        line = f"{_machine()} {socket.gethostname()}".ljust(_OWNER)
        os.pwrite(lock, line.encode()[:_OWNER], 0)
    return True


def _share(root: Path, lock: int) -> None:
    """Hold the lock together with all of this machine. Raises StorageError."""
    fcntl.flock(lock, fcntl.LOCK_SH)
    number, name = _owner(lock)
    if number != _machine():
        raise StorageError(
            f"the cache folder {root} is written by a server on {name}: two machines cannot "
            "both write one; name a folder of your own in cache.path, and this one behind it"
        )


def _machine() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else socket.gethostname()


def _owner(lock: int) -> tuple[str, str]:
    """The machine that holds the lock: its number and its name."""
    words = os.pread(lock, _OWNER, 0).decode(errors="replace").split()
    return (words[0], words[1]) if len(words) > 1 else ("", "")
