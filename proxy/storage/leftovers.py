"""Files being written, and how it is known that nobody writes them any more.

A spool is locked by its writer for as long as it lives, so what is not locked is an orphan. A
file of the workspace is named after the process that makes it. Several processes may start,
write and collect at the same time.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from pathlib import Path

WORK = 3600.0
"""Seconds after which a file in the workspace is nobody's, even where its maker's process id
lives: in a container the next start has the same ids."""


def locked_file(folder: Path) -> tuple[Path, int]:
    """A new file, and a descriptor that holds its lock until it is closed. Raises OSError."""
    while True:
        path = _name(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            if _locked(descriptor) and os.fstat(descriptor).st_nlink:
                return path, descriptor
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        # A sibling that collects just now took it for an orphan before the lock was on it.
        os.close(descriptor)


class Ahead:
    """A file of a folder made before it is wanted: making one takes ext4 up to 0.4 ms, giving it
    a name a tenth of that. It has none until then, so that nothing is left of it by a crash.

    Where that cannot be, files are made when they are wanted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._spare: int | None = None
        self._able = True

    def take(self) -> tuple[Path, int]:
        """What `locked_file` gives. Raises OSError."""
        with self._guard:
            spare, self._spare = self._spare, None
        if spare is None:
            return locked_file(self._folder)
        path = _name(self._folder)
        try:
            fcntl.flock(spare, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # With a folder's descriptor, which is of no use here, Python follows the link.
            os.link(f"/proc/self/fd/{spare}", path, src_dir_fd=spare, follow_symlinks=True)
        except OSError:
            os.close(spare)
            self._able = False
            return locked_file(self._folder)
        return path, spare

    def make(self) -> None:
        """Make the next one."""
        if self._spare is not None or not self._able:
            return
        try:
            made = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o640)
        except OSError:  # it is not made by this file system, or not at the moment
            self._able = False
            return
        with self._guard:
            if self._spare is None and self._able:
                self._spare = made
                return
        os.close(made)  # there is one meanwhile, or none is wanted any more

    def close(self) -> None:
        """Make no more."""
        with self._guard:
            self._able = False
            spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)


def collect(spools: Path, workspace: Path) -> int:
    """Remove what crashed writers left; returns how many files. Raises OSError."""
    before = time.time() - WORK
    orphans = sum(_removed_if_unlocked(path) for path in spools.iterdir())
    return orphans + sum(_removed_if_ownerless(path, before) for path in workspace.iterdir())


def _name(folder: Path) -> Path:
    # Not numbered: two containers that share the folder may have the same process ids.
    return folder / f"{os.getpid()}-{secrets.token_hex(8)}"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _removed_if_unlocked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        orphaned = _locked(descriptor)
        if orphaned:
            path.unlink(missing_ok=True)
        return orphaned
    finally:
        os.close(descriptor)


def _removed_if_ownerless(path: Path, before: float) -> bool:
    owner = path.name.partition("-")[0]
    try:
        written_at = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if owner.isdecimal() and _lives(owner) and written_at >= before:
        return False
    path.unlink(missing_ok=True)
    return True


def _lives(process: str) -> bool:
    """Whether there is a process with that id that still does something: no zombie (proc(5))."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
