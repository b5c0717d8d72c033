"""Noting which files of an index are new here, off the event loop.

The table that comes out goes into the views of every policy that looks at ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxy.core import first_seen
from proxy.core.model import Index
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import Body
from proxy.errors import StorageError
from proxy.gateway.render import Output, mapped, written


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveJob:
    """Note what the blob at `blob`, a generation of `index`, lists at `now`.

    `known` is the table until then; None: the index is new here.
    """

    index: Index
    blob: Path
    source: str
    media_type: str
    url: str
    known: Path | None
    now: float
    workspace: Path


def observe(job: ObserveJob) -> Output:
    """Run one such job. Raises BadIndex and StorageError."""
    ecosystem = ECOSYSTEMS[job.index.mirror.partition("/")[0]]
    try:
        known = None if job.known is None else first_seen.read(job.known.read_bytes())
        with mapped(job.blob) as content:
            body = Body(content=content, source=job.source, media_type=job.media_type, url=job.url)
            table = first_seen.merged(known, ecosystem.undated(job.index, body), job.now)
        return written("seen", [table], job.workspace)
    except OSError as error:
        raise StorageError(f"looking for new files in {job.index.path}: {error}") from error
