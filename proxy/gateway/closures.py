"""Allow-lists closed over dependencies: a table for each set of generations, made once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxy.core.digest import Digest
from proxy.core.model import Entry, Index, View
from proxy.core.policy import Policy, Specs
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import Body
from proxy.errors import StorageError
from proxy.gateway.flights import Flights
from proxy.gateway.pool import Pool
from proxy.gateway.ports import Ports
from proxy.gateway.presence import is_here
from proxy.gateway.render import Output, mapped, written
from proxy.storage.ports import Stored

Held = Sequence[tuple[Index, Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureJob:
    """Close `specs` over the generations at `blobs`, for `index`."""

    index: Index
    listed: tuple[tuple[Index, Entry], ...]
    blobs: tuple[Path, ...]
    specs: tuple[tuple[str, ...], ...]
    workspace: Path


def close(job: ClosureJob) -> Output:
    """Run one such job. Raises BadIndex and StorageError."""
    try:
        return written("closure", [closed(job)], job.workspace)
    except OSError as error:
        raise StorageError(f"closing a list over {job.index.path}: {error}") from error


def closed(job: ClosureJob) -> bytes:
    """The table that such a job makes. Raises BadIndex and OSError."""
    ecosystem = ECOSYSTEMS[job.index.mirror.partition("/")[0]]
    with contextlib.ExitStack() as stack:
        listed = [
            (
                index,
                Body(
                    content=stack.enter_context(mapped(blob)),
                    source=entry.source,
                    media_type=entry.media_type,
                    url=entry.url,
                ),
            )
            for (index, entry), blob in zip(job.listed, job.blobs, strict=True)
        ]
        return ecosystem.closed(job.index, listed, job.specs)


def lists(policy: Policy | None) -> tuple[tuple[str, ...], ...]:
    """The lists of specs in *policy* that are to be closed."""
    if policy is None:
        return ()
    found = [leaf.texts for leaf in policy.leaves if isinstance(leaf, Specs) and leaf.dependencies]
    return tuple(dict.fromkeys(found))


class Closures:
    """Makes them, each once."""

    def __init__(self, ports: Ports, pool: Pool) -> None:
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._clock = ports.clock
        self._pool = pool
        self._flights: Flights[str, View] = Flights(ports.events.failed)

    async def of(self, index: Index, listed: Held, specs: tuple[tuple[str, ...], ...]) -> Digest:
        """The table for *index* and its companions, *listed*. Raises BadIndex, StorageError."""
        lines = [f"{one.path} {entry.digest} {entry.source}" for one, entry in listed]
        lines += ["", *("\n".join(texts) for texts in specs)]
        key = f"closure {index.key}\t{hashlib.sha256(chr(0).join(lines).encode()).hexdigest()}"
        known = await self._catalog.get(key)
        if isinstance(known, View) and await is_here(self._blobs, known):
            return known.digest
        boarded = await self._flights.join(key, partial(self._fly, key, index, listed, specs))
        return boarded.value.digest

    async def drain(self, seconds: float) -> None:
        """Let running work end for up to *seconds*."""
        await self._flights.drain(seconds)

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _fly(
        self,
        key: str,
        index: Index,
        listed: Held,
        specs: tuple[tuple[str, ...], ...],
        publish: Callable[[View], None],
    ) -> None:
        older = await self._catalog.keys(key.rpartition("\t")[0] + "\t")
        job = ClosureJob(
            index=index,
            listed=tuple(listed),
            blobs=tuple(self._blobs.path(entry.digest) for _, entry in listed),
            specs=specs,
            workspace=self._blobs.workspace,
        )
        output = await self._pool.run(close, job, size=sum(entry.size for _, entry in listed))
        await self._blobs.adopt(output.path, Stored(digest=output.digest, size=output.size))
        view = View(
            key=key,
            digest=output.digest,
            size=output.size,
            media_type="application/octet-stream",
            made_at=self._clock(),
        )
        await self._catalog.put(view)
        await self._catalog.forget([one for one in older if one != key])
        publish(view)
