"""What can be asked of mirrors and their runs: the one door for API, commands and pages.

`Mirrors` is served by the first worker alone, which also carries out the runs. All values are
frozen and plain, so that they can be encoded as they are; times are seconds since the epoch,
durations seconds, sizes bytes. Nothing here decides who may ask: that is for the room above.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# -- what a mirror is --------------------------------------------------------------------


class Origin(enum.Enum):
    """Who made a mirror."""

    CONFIGURATION = "configuration"  # a file of the operator's, which is never written
    RUNTIME = "runtime"  # `Mirrors.create`; kept beside the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDefinition:
    """A mirror as its `[[mirror]]` table has it.

    `key` is `<type>/<name>`. `values` are the keys that are written down, as TOML and JSON have
    them, documented in docs/configuration.md; a URL in them that holds a secret is redacted.
    `shadowed`: the configuration has a mirror of the same key, which wins; this one is only kept.
    `doubts`: what of the values is likely to be a mistake; each begins with the key.
    """

    key: str
    origin: Origin
    values: Mapping[str, object]
    shadowed: bool = False
    doubts: tuple[str, ...] = ()


# -- what a run is -----------------------------------------------------------------------


class Step(enum.Enum):
    """What a run is at, in the order in which they come."""

    QUEUED = "queued"
    READING = "reading index"
    JUDGING = "applying policy"
    PLANNING = "planning"
    FETCHING = "fetching"
    VERIFYING = "verifying"
    FINISHING = "finishing"


class RunState(enum.Enum):
    """How a run stands. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # nothing new is begun; what is under way ends
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed with failures"
    STOPPED = "stopped"  # by the operator; what was fetched stays
    FAILED = "failed"  # before anything could be fetched: no index, say

    @property
    def is_final(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.STOPPING)


class Cause(enum.Enum):
    """Why a run was begun."""

    ASKED = "asked"
    SCHEDULED = "scheduled"
    RESUMED = "resumed"  # the server ended in the middle of it; it goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many files a run has met, and their bytes where their index says them.

    `listed` = `hidden` (by policy) + `beyond` (not in the mirror's scope) + `wanted`;
    `wanted` = `present` (here before) + `to_fetch`; of these `fetched` and `failed` are done.
    `gone` are here but no longer listed upstream, `removed` those of them that were now removed.
    """

    listed: int = 0
    hidden: int = 0
    beyond: int = 0
    wanted: int = 0
    present: int = 0
    to_fetch: int = 0
    fetched: int = 0
    failed: int = 0
    gone: int = 0
    removed: int = 0
    bytes_present: int = 0
    bytes_to_fetch: int = 0
    bytes_fetched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one mirror, at one moment.

    `id` is unique over all mirrors and sorts by age. `rate` is in bytes per second of the last
    while; `remaining` the seconds that this leaves, None while unknown. `missed` are the moments
    at which the next run was due while this one went on, and was left out. `starved_at`: until then
    it had only what nobody else wanted of the processors, which was next to nothing; since then it
    has a share of its own. `error` says why it failed.
    """

    id: str
    mirror: str
    cause: Cause
    state: RunState
    step: Step
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    counts: Counts = Counts()
    rate: float | None = None
    remaining: float | None = None
    missed: tuple[float, ...] = ()
    starved_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """So many files of a run that `rule` kept out, for `reason`; some of them as `examples`."""

    rule: str
    reason: str
    files: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file (or index) that could not be had after so many `attempts`."""

    path: str
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run and why things were left out.

    `hidden` is by policy rule, `beyond` by the part of the scope (`platforms`, `newest`, …), both
    largest first. `failures` are the first thousand. `actively` is how many files this mirror
    has here that runs fetched, `passively` those that clients asked for first.
    """

    run: Run
    hidden: tuple[Tally, ...] = ()
    beyond: tuple[Tally, ...] = ()
    failures: tuple[Failure, ...] = ()
    actively: int = 0
    passively: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStatus:
    """A mirror and how it stands.

    `frequency` and `next_run` are None for a mirror without runs (`mode = "passive"`);
    `frequency_text` reads the first aloud. `frozen_at` is None unless it is frozen. `policy` is
    the name of the one in force. `latest` is its run that goes on, or else the last one.
    """

    definition: MirrorDefinition
    frequency: str | None = None
    frequency_text: str | None = None
    next_run: float | None = None
    frozen_at: float | None = None
    policy: str | None = None
    latest: Run | None = None


# -- what else can be asked --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChange:
    """How one index differs between what clients of a frozen mirror see and what upstream has.

    The lists are filenames, each cut after the first thousand; the counts are whole.
    """

    index: str
    added: int = 0
    removed: int = 0
    changed: int = 0
    added_files: tuple[str, ...] = ()
    removed_files: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What unfreezing would change for clients, by index; indexes that are equal are left out."""

    mirror: str
    frozen_at: float
    indexes: tuple[IndexChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A package that an allow-list with *include dependencies* keeps, and who needs it.

    `roots` are the specs of the list that name it; `needed_by` are packages that depend on it
    (the first twenty). `files` is how many files of it are listed and allowed.
    """

    name: str
    roots: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyReport:
    """What the allow-lists with dependencies of a mirror's policy and scope keep, by name.

    `missing` are specs that match nothing that is here.
    """

    mirror: str
    kept: tuple[Kept, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a mirror or to a run of it.

    `name` is one of `created`, `edited`, `deleted`, `frozen`, `unfrozen`, `run` (it changed:
    progress comes at most twice a second), `missed` and `starved`. `run` is set for the last three.
    """

    name: str
    mirror: str
    at: float
    run: Run | None = None


class Mirrors(Protocol):
    """All mirrors of this server, and their runs.

    Every function that is given a mirror's key raises UnknownMirror where there is none of it.
    """

    def list(self) -> Sequence[MirrorStatus]:
        """All mirrors, by key; shadowed definitions too, after the ones that win."""
        ...

    def show(self, key: str) -> MirrorStatus:
        """One mirror."""
        ...

    async def create(self, values: Mapping[str, object]) -> MirrorStatus:
        """Make a mirror of the keys of a `[[mirror]]` table, and serve it at once.

        Raises ConfigError, naming key and remedy, and Conflict where one of that key is there.
        """
        ...

    async def edit(self, key: str, values: Mapping[str, object]) -> MirrorStatus:
        """Replace what a mirror made at run time consists of by all of *values*.

        A value that was shown redacted may be given back as it was shown. Raises ConfigError as
        `create` does, also where type, name or mode would change, and Conflict for a mirror of
        the configuration or one that is running.
        """
        ...

    async def check(self, values: Mapping[str, object], key: str | None = None) -> MirrorDefinition:
        """What `create`, or `edit` of the mirror *key*, would make; changes nothing, and raises
        what they would.
        """
        ...

    async def delete(self, key: str) -> None:
        """Forget a mirror made at run time; its files are left to the cache's limits.

        A run of it is stopped first. Raises Conflict for a mirror of the configuration.
        """
        ...

    async def run(self, key: str) -> Run:
        """Begin a run now. Raises Conflict where one goes on, or the mirror is passive."""
        ...

    async def stop(self, key: str) -> Run:
        """Stop the run that goes on; returns at once, usually with `STOPPING`.

        Raises Conflict where none goes on.
        """
        ...

    async def freeze(self, key: str) -> MirrorStatus:
        """Let clients see each index as it is now, until `unfreeze`; runs go on behind it.

        Raises Conflict where it is frozen, and for mirrors without indexes (`files`).
        """
        ...

    async def unfreeze(self, key: str) -> MirrorStatus:
        """Let clients see what upstream has again. Raises Conflict where it is not frozen."""
        ...

    async def difference(self, key: str) -> Difference:
        """What `unfreeze` would change. Raises Conflict where it is not frozen."""
        ...

    def runs(self, key: str) -> Sequence[Run]:
        """The runs that are remembered, newest first."""
        ...

    async def details(self, key: str, run_id: str) -> RunDetails:
        """Why a run left out what it did. Raises UnknownRun where it is not remembered."""
        ...

    async def report(self, key: str) -> DependencyReport:
        """What is kept for its dependents' sake.

        Raises Conflict where neither its policy nor its scope has a list with dependencies.
        """
        ...

    def export(self, keys: Sequence[str] = ()) -> str:
        """The mirrors (all, or these) as `[[mirror]]` tables in TOML, without secrets."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """What happens from now on. A reader that is slow misses progress, never an end."""
        ...
