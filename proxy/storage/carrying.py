"""A store's contents carried to another site in a bundle, whole or as what is new since another.

Blobs first, then what is remembered, in the bundle as in the store that takes it over: at no moment
does anything name what is not there. Rendered views are left out, for they can be made again, by
the rules of the other site. A broken-off export or import is continued when it is started again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proxy.core.model import Absence, Digest, Entry, Expected, View
from proxy.errors import IntegrityError, StorageError
from proxy.storage.bundle import Bundle, BundleWriter, Mark
from proxy.storage.opening import Store
from proxy.storage.ports import Remembered
from proxy.storage.rows import decoded, encoded
from proxy.storage.sweep import remembered

VIEWS = "view "
"""How the keys of rendered views begin."""


class About(msgspec.Struct, frozen=True, tag="about"):
    """The first record: by which bundle this one was shortened."""

    base: str


class Named(msgspec.Struct, frozen=True, tag="blob"):
    """A blob that some value of the bundle names; not in it, where the base has it."""

    digest: str
    size: int
    held: bool


class Value(msgspec.Struct, frozen=True, tag="value"):
    """What is remembered, as the catalog stores it."""

    data: bytes


Record = About | Named | Value  # in this order
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a bundle brought to where it went."""

    digest: Digest
    blobs: int
    size: int
    already: int  # blobs that were there
    values: int


async def export(store: Store, path: Path, since: Path | None = None) -> Carried:
    """Write all of *store* to *path*, but for the blobs that the bundle *since* covers.

    Raises StorageError, IntegrityError and OSError; what is written then serves the next attempt.
    """
    base, covered = ("", frozenset[Digest]()) if since is None else _covered(since)
    writer = await asyncio.to_thread(BundleWriter, path)
    with closing(writer):
        already = len(writer.held)
        named: dict[Digest, Named] = {}
        async for value in _values(store):
            digest, size = value.digest, value.size
            if digest and digest not in named:
                held = digest not in covered
                # None where it was evicted just now: what names it is left out.
                if not held or await _written(store, writer, value):
                    named[digest] = Named(digest, size, held)
        for record in (About(base), *named.values()):
            writer.record(_encode(record))
        values = 0
        async for value in _values(store):
            if not value.digest or value.digest in named:
                writer.record(_encode(Value(encoded(value))))
                values += 1
        name = await asyncio.to_thread(writer.finish)
    sizes = [one.size for one in named.values() if one.held]
    return Carried(digest=name, blobs=len(sizes), size=sum(sizes), already=already, values=values)


async def take(store: Store, path: Path, digest: str | None = None) -> Carried:
    """Take over all that the bundle at *path* has and *store* has not.

    *digest*: the one that the bundle must have. Raises StorageError, IntegrityError and OSError:
    then nothing is remembered of it, and the next attempt goes on where this one ended.
    """
    bundle = await asyncio.to_thread(Bundle, path)
    with closing(bundle):
        if digest not in (None, bundle.digest):
            raise IntegrityError(f"{path} is sha256:{bundle.digest}, not {digest}")
        await _check_base(store, bundle)
        blobs = size = already = 0
        for mark, pieces in bundle.blobs():
            if await _is_here(store, mark.digest, mark.size):
                already += 1
                continue
            await _stored(store, mark, pieces)
            blobs += 1
            size += mark.size
        values = await _remembered_anew(store, bundle)
        return Carried(digest=bundle.digest, blobs=blobs, size=size, already=already, values=values)


def _covered(since: Path) -> tuple[Digest, frozenset[Digest]]:
    """The digest of a bundle and those of all blobs that one has who took it over."""
    with closing(Bundle(since)) as bundle:
        named = (one.digest for one in _records(bundle) if isinstance(one, Named))
        return bundle.digest, frozenset(map(Digest, named))


async def _values(store: Store) -> AsyncIterator[Entry | View]:
    """What is carried of all that is remembered."""
    async for value in remembered(store.catalog):
        if not isinstance(value, Absence) and not value.key.startswith(VIEWS):
            yield value


async def _written(store: Store, writer: BundleWriter, value: Entry | View) -> bool:
    blob = await store.blobs.open(value.digest, value.size)
    if blob is None:
        return False
    with closing(blob), os.fdopen(os.dup(blob.fileno()), "rb") as source:
        await asyncio.to_thread(writer.blob, value.digest, source)
    return True


async def _check_base(store: Store, bundle: Bundle) -> None:
    """Raises StorageError where blobs are missing that an earlier bundle was to bring."""
    base, missing = "", 0
    for record in _records(bundle):
        match record:
            case About():
                base = record.base
            case Named(held=False):
                missing += not await _is_here(store, Digest(record.digest), record.size)
            case Value():
                break  # they come last
    if missing:
        raise StorageError(
            f"{missing} files are not in this bundle and not here: import the bundle first that it "
            f"was made since, sha256:{base}"
        )


async def _stored(store: Store, mark: Mark, pieces: Iterator[bytes]) -> None:
    spool = await store.blobs.spool(mark.size)
    try:
        for piece in pieces:
            await spool.write([piece])
        await spool.commit(Expected(size=mark.size, hashes={"sha256": mark.digest}))
    except BaseException:
        await spool.discard()
        raise
    finally:
        spool.close()


async def _is_here(store: Store, digest: Digest, size: int) -> bool:
    blob = await store.blobs.open(digest, size)
    if blob is None:
        return False
    blob.close()
    return True


async def _remembered_anew(store: Store, bundle: Bundle) -> int:
    """Remember the bundle's values, but where something newer is known; returns how many.

    Raises IntegrityError before the first where one of the blobs that they may name is not here.
    """
    here: set[str] = {""}
    values = 0
    for record in _records(bundle):
        match record:
            case Named():
                if not await _is_here(store, Digest(record.digest), record.size):
                    raise IntegrityError(
                        f"the bundle should have blob {record.digest}, and lacks it"
                    )
                here.add(record.digest)
            case Value():
                value = _read(record)
                if value.digest in here and _moment(value) > await _known_at(store, value.key):
                    await store.catalog.put(value)
                    values += 1
            case About():
                pass
    return values


def _records(bundle: Bundle) -> Iterator[Record]:
    for record in bundle.records():
        try:
            yield _decode(record)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"{bundle}: a record cannot be read: {error}") from error


def _read(record: Value) -> Entry | View:
    try:
        value = decoded(record.data)
    except ValueError as error:
        raise IntegrityError(f"a value of the bundle cannot be read: {error}") from error
    if isinstance(value, Absence):
        raise IntegrityError("a bundle carries no absences")
    return value


async def _known_at(store: Store, key: str) -> float:
    known = await store.catalog.get(key)
    return float("-inf") if known is None else _moment(known)


def _moment(value: Remembered) -> float:
    return value.made_at if isinstance(value, View) else value.checked_at
