"""What is here of each index, for mirrors that are offline and list nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from proxy.core import here
from proxy.core.model import Artifact, Entry, Index, Mirror
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import UnknownPath
from proxy.gateway.basis import holds_until
from proxy.gateway.ports import Ports
from proxy.gateway.presence import is_here
from proxy.storage.ports import Blobs, Catalog

LOOKED_FOR = 300.0
"""Seconds for which a look at what is here is believed. Offline nothing comes but by import."""


class Present:
    """Looks at all that is remembered of a mirror, once for all its indexes."""

    def __init__(self, ports: Ports) -> None:
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._clock = ports.clock
        self._looks: dict[str, tuple[float, Mapping[str, bytes]]] = {}

    async def of(self, index: Index, mirror: Mirror) -> bytes | None:
        """The table of what is here of *index* (`proxy.core.here`); None: all is to be listed."""
        if not mirror.lists_present:
            return None
        until, tables = self._looks.get(mirror.key, (0.0, {}))
        if self._clock() >= until:
            tables = await look(self._catalog, self._blobs, mirror)
            until = self._clock() + LOOKED_FOR
            self._looks[mirror.key] = until, tables
        holds_until(until)
        return tables.get(index.path, b"")


async def look(catalog: Catalog, blobs: Blobs, mirror: Mirror) -> Mapping[str, bytes]:
    """The tables of what is here of *mirror*, by the path of the index that lists it."""
    verified: dict[str, list[str]] = defaultdict(list)
    named: dict[str, list[str]] = defaultdict(list)
    for key in await catalog.keys(f"{mirror.key} "):
        # Behind a tab it says which of several variants it is.
        artifact = _artifact(mirror, key.partition(" ")[2].partition("\t")[0])
        if artifact is None:
            continue
        entry = await catalog.get(key)
        if not isinstance(entry, Entry) or not await is_here(blobs, entry):
            continue
        name = artifact.path.rpartition("/")[2]
        promised = entry.headers.get("verified", "")
        if promised and artifact.vouched:
            digests = [entry.digest, *(one.partition("=")[2] for one in promised.split(","))]
            verified[artifact.index.path] += digests
        else:
            named[artifact.index.path].append(name)
        if artifact.moved is not None:
            named[artifact.moved.index.path].append(name)
    paths = verified.keys() | named.keys()
    return {path: here.table(verified[path], named[path]) for path in paths}


def _artifact(mirror: Mirror, path: str) -> Artifact | None:
    try:
        resource = ECOSYSTEMS[mirror.type].classify(mirror.key, path)
    except UnknownPath:  # of a kind that is no more
        return None
    return resource if isinstance(resource, Artifact) else None
