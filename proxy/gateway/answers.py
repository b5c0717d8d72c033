"""Answers to requests for files and indexes, with the headers that go with them."""

from __future__ import annotations

import zlib

from proxy.core.cache_status import CacheStatus
from proxy.core.model import Artifact, Entry, Form, View
from proxy.core.rows import Row
from proxy.gateway.answer import IMMUTABLE, Answer, Nothing, Slice, public
from proxy.gateway.fill import Growing
from proxy.gateway.indexes import Current
from proxy.storage.ports import OpenBlob


def keeps_promise(held: Entry, row: Row) -> bool:
    """Whether the stored file is the one that the index now describes."""
    digest = row.hashes.get("sha256")
    if digest is not None:
        return held.digest == digest
    verified = set(held.headers.get("verified", "").split(","))
    return any(f"{name}={value}" in verified for name, value in row.hashes.items())


def etag(row: Row) -> str | None:
    """A strong validator that is known before the first byte: the digest the index gives."""
    for name in ("sha256", *sorted(row.hashes)):
        if name in row.hashes:
            prefix = "" if name == "sha256" else f"{name}-"
            return f'"{prefix}{row.hashes[name]}"'
    return None


def verified(
    artifact: Artifact,
    row: Row,
    body: Growing | Slice | Nothing,
    length: int | None,
    status: CacheStatus,
) -> Answer:
    """A file that its index vouches for, by *row*."""
    return Answer(
        body=body,
        length=length,
        media_type=artifact.media_type,
        status=status,
        etag=etag(row),
        cache_control=IMMUTABLE,
    )


def file_answer(artifact: Artifact, row: Row, blob: OpenBlob) -> Answer:
    """A file that is here; the answer closes *blob*."""
    body = Slice(blob, 0, blob.size)
    answer = verified(artifact, row, body, blob.size, CacheStatus.hit())
    answer.holding.callback(blob.close)
    return answer


def view_answer(current: Current, form: Form, coding: str, view: View, blob: OpenBlob) -> Answer:
    """An index in one form and coding; the answer closes *blob*."""
    answer = heading(current, form)
    answer.body = Slice(blob, 0, view.size)
    answer.length = view.size
    answer.coding = coding
    # conda and mamba send the ETag of one form, or of another index, when they ask for this
    # one: no two may ever be equal, even where the bytes are.
    suffix = form.name if coding == "identity" else f"{form.name}-{coding}"
    path = zlib.crc32(current.generation.index.path.encode())
    answer.etag = f'"{view.digest[:40]}-{path:08x}-{suffix}"'
    answer.last_modified = view.made_at
    answer.holding.callback(blob.close)
    return answer


def heading(current: Current, form: Form) -> Answer:
    """What HEAD is told of an index whose view has not been made."""
    return Answer(
        body=Nothing(),
        length=None,
        media_type=form.media_type,
        status=current.status,
        cache_control=public(current.ttl),
        counted=current.counted,
    )
