"""A cache folder's layout: where blobs lie in it, and which format it has.

`<root>/sha256/ab/<digest>` holds the blobs, `<root>/spool/` the bodies that are being written,
`<root>/work/` files being made elsewhere, `<root>/catalog/` the catalog, `<root>/lost` the time at
which one was lost. A blob's modification
time is when it was last used, as far as that has been written down. Nothing here is async.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.ports import Stored

FORMAT = "1"
"""The layout's version, in `<root>/FORMAT`; another one is refused."""

READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
"""How a blob is opened: a link that was planted under a digest leads nowhere."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Held:
    """A blob as its folder shows it; `used_at` in seconds since the epoch."""

    digest: Digest
    size: int
    used_at: float


def blob_path(root: Path, digest: Digest) -> Path:
    """Where the blob is, or would be. Raises StorageError for what is no digest."""
    return root / blob_name(digest)


def blob_name(digest: Digest) -> str:
    """The same below the cache folder, as text: a Path takes ten times as long to make.

    Raises StorageError.
    """
    if not _DIGEST.fullmatch(digest):
        raise StorageError(f"{digest[:80]!r} is not a SHA-256 in lower-case hex")
    return f"sha256/{digest[:2]}/{digest}"


def held(root: Path) -> Generator[Held, None, None]:
    """All blobs under *root*, in no order; what is not named by a digest is none.

    Raises StorageError.
    """
    try:
        with os.scandir(root / "sha256") as folders:
            for folder in folders:
                if _PREFIX.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                    yield from _held(folder.path)
    except OSError as error:
        raise StorageError(f"the blobs in {root} cannot be listed: {error}") from error


def _held(folder: str) -> Iterator[Held]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if _DIGEST.fullmatch(entry.name):
                yield Held(Digest(entry.name), found.st_size, found.st_mtime)


def verified(path: Path) -> Stored | None:
    """Read a file through: what it is; None where it is not there. Raises OSError."""
    try:
        with os.fdopen(os.open(path, READING), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Stored(digest=Digest(digest), size=file.tell())
    except FileNotFoundError:
        return None


def note_loss(root: Path) -> None:
    """Note that what is remembered of the blobs under *root* is lost, if there are any.

    Raises OSError and StorageError.
    """
    if not (root / "sha256").exists():
        return
    with contextlib.closing(held(root)) as blobs:
        if next(blobs, None) is not None:
            (root / "lost").touch()


def lost_at(root: Path) -> float:
    """When that was last noted, in seconds since the epoch; minus infinity: never."""
    try:
        return (root / "lost").stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


def prepared(root: Path) -> None:
    """Make *root* a cache folder if it is none yet. Raises StorageError."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not (root / "FORMAT").exists():
            # Several workers start at once, and none may read it half written.
            aside = root / f"FORMAT-{os.getpid()}"
            aside.write_text(FORMAT + "\n")
            aside.replace(root / "FORMAT")
        check_format(root)
        for name in ("spool", "work", "sha256"):
            (root / name).mkdir(exist_ok=True, mode=0o750)
    except OSError as error:
        raise StorageError(f"the cache folder {root} cannot be used: {error}") from error


def check_format(root: Path) -> None:
    """Refuse a folder that another version has written. Raises StorageError and OSError."""
    found = (root / "FORMAT").read_text(errors="replace").strip()[:80]
    if found == FORMAT:
        return
    newer = found.isdecimal() and int(found) > int(FORMAT)
    by = "a newer version of pkgproxy; use that one" if newer else "no version that is known"
    raise StorageError(
        f"{root} holds a store of format {found or 'unknown'}, written by {by}; this version "
        f"writes format {FORMAT}: name another folder in cache.path, or remove this one"
    )
