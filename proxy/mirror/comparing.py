"""What unfreezing a mirror would change, and what its lists keep for its dependents' sake.

Both read only what is here; the work on indexes runs off the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from proxy.core.conditions import is_like
from proxy.core.model import Entry, Index, Mirror
from proxy.core.policy import Policy
from proxy.core.rows import Row, decode_row
from proxy.ecosystems import kept as tables
from proxy.ecosystems.base import ROWS
from proxy.errors import Conflict
from proxy.gateway import freezing
from proxy.gateway.closures import lists
from proxy.gateway.engine import Engine
from proxy.gateway.explaining import held
from proxy.mirror.plan import policy_of
from proxy.mirror.port import DependencyReport, Difference, IndexChange, Kept
from proxy.mirror.reading import live
from proxy.mirror.tables import mapped_table

MOST = 1000
"""Files that are named of each kind of change."""

NEEDING = 20
"""Packages that are named of those that need another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareJob:
    """Compare the row tables at `old` and `new` of one index; None: there is none."""

    index: str
    old: Path | None
    new: Path | None


def compare(job: CompareJob) -> IndexChange:
    """Run one such job. Raises StorageError."""
    with ExitStack() as stack:
        old = dict(_shown(stack, job.old))
        added: list[str] = []
        changed: list[str] = []
        for key, row in _shown(stack, job.new):
            before = old.pop(key, None)
            if before is None:
                added.append(key)
            elif (before.size, before.hashes) != (row.size, row.hashes):
                changed.append(key)
    return IndexChange(
        index=job.index,
        added=len(added),
        removed=len(old),
        changed=len(changed),
        added_files=_named(added),
        removed_files=_named(old),
        changed_files=_named(changed),
    )


def _shown(stack: ExitStack, path: Path | None) -> Iterator[tuple[str, Row]]:
    """The rows of what clients are shown, without companions of files."""
    if path is None:
        return
    table = stack.enter_context(mapped_table(path))
    for key, value in table.items():
        row = decode_row(value)
        if row.denied is None and not row.derived and not key.endswith(".metadata"):
            yield key, row


def _named(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key.rpartition("/")[2] for _, key in zip(range(MOST), keys, strict=False))


async def difference(engine: Engine, mirror: Mirror) -> Difference:
    """What clients of the frozen *mirror* would see otherwise. Raises BadIndex, StorageError."""
    if mirror.frozen_at is None:
        raise Conflict(f"{mirror.key} is not frozen")
    ports = engine.ports
    ecosystem = ports.ecosystems[mirror.type]
    old = {one.path: (one, e) for one, e in await freezing.frozen(ports.catalog, ecosystem, mirror)}
    new = {one.path: (one, e) for one, e in await held(ports.catalog, mirror)}
    found: list[IndexChange] = []
    for path in sorted(old.keys() | new.keys()):
        index = (old.get(path) or new[path])[0]
        if path not in old or not any(ROWS in group for group in ecosystem.groups(index)):
            continue  # what nobody has asked for since is taken as it is when somebody does
        if ecosystem.decided_by(index) is not None:
            continue
        job = CompareJob(
            index=path,
            old=await _rows(engine, mirror, old.get(path)),
            new=await _rows(engine, live(mirror), new.get(path)),
        )
        change = await engine.pool.run(compare, job, size=old[path][1].size)
        if change.added or change.removed or change.changed:
            found.append(change)
    return Difference(mirror=mirror.key, frozen_at=mirror.frozen_at, indexes=tuple(found))


async def _rows(engine: Engine, mirror: Mirror, one: tuple[Index, Entry] | None) -> Path | None:
    if one is None:
        return None
    generation = await engine.indexes.generation(one[0], mirror, one[1])
    return engine.ports.blobs.path((await engine.views.rows(generation)).digest)


async def report(engine: Engine, mirror: Mirror) -> DependencyReport:
    """What the lists with dependencies of *mirror* keep. Raises Conflict where it has none, or no
    index is here, BadIndex, StorageError.
    """
    specs = specs_of(mirror)
    if not specs:
        raise Conflict(f"neither policy nor scope of {mirror.key} has specs with dependencies")
    known = await held(engine.ports.catalog, mirror)
    if not known:
        raise Conflict(
            f"no index of {mirror.key} is here yet: a run brings them, or a client that asks"
        )
    kept: dict[tuple[str, str], tables.Kept] = {}
    with engine.ports.team.alone():
        for index, entry in known:
            for policy in (mirror.policy, _scope(mirror)):
                digest = await engine.indexes.closure(index, mirror, entry, policy)
                if digest is not None:
                    found = engine.ports.blobs.path(digest).read_bytes()
                    for several in tables.read(found).values():
                        kept.update({(one.subdir, one.filename): one for one in several})
    by_name: dict[str, list[tables.Kept]] = {}
    for one in kept.values():
        by_name.setdefault(one.name, []).append(one)
    return DependencyReport(
        mirror=mirror.key,
        kept=tuple(_kept(name, specs, by_name[name]) for name in sorted(by_name)),
        missing=tuple(
            spec for spec in specs if not any(is_like(one, [_name(spec)]) for one in by_name)
        ),
    )


def specs_of(mirror: Mirror) -> Sequence[str]:
    """The specs that keep their dependencies, too."""
    found = (*lists(mirror.policy), *lists(_scope(mirror)))
    return tuple(dict.fromkeys(spec for listed in found for spec in listed))


def _scope(mirror: Mirror) -> Policy | None:
    return None if mirror.active is None else policy_of(mirror.active.scope, mirror.type)


def _kept(name: str, specs: Sequence[str], files: Sequence[tables.Kept]) -> Kept:
    needing = dict.fromkeys(one.through for one in files if one.through is not None)
    return Kept(
        name=name,
        roots=tuple(spec for spec in specs if is_like(name, [_name(spec)])),
        needed_by=tuple(needing)[:NEEDING],
        files=len(files),
    )


def _name(spec: str) -> str:
    """The name, or the pattern for one, that a spec begins with."""
    return re.split(r"[\s<>=!~\[(@;,]", spec.strip(), maxsplit=1)[0].lower()
