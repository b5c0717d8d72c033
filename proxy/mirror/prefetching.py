"""What can be prefetched over the administration: a wish, the job that it becomes, what came of it.

All values are plain and frozen, as those of `proxy.mirror.port`; times are seconds since the epoch,
sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from proxy.mirror.port import RunState
from proxy.mirror.wanted.closure import Failure
from proxy.mirror.wanted.sent_file import SentFile

FAILURES = 1000
"""Failures that a job lists at the most; its count has them all."""

Jobs = Annotated[int, msgspec.Meta(ge=1, le=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be fetched ahead: what `files` of projects need, and what is at `paths`.

    `beside`: files that those name with -r or -c. `paths` are `<type>/<name>/<path>`, as in a
    mirror's addresses. `mirrors`, `platforms` and `pythons` are those of `pkgproxy prefetch`;
    without platforms the server's own. `jobs`: files that are fetched at a time.
    """

    files: tuple[SentFile, ...] = ()
    beside: tuple[SentFile, ...] = ()
    paths: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    jobs: Jobs = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetch:
    """One job, at one moment.

    `doing`: what it is at, in words. `files`: how many it comes to, None until that is known; of
    them `fetched` and `present` (here before) are done, with `bytes` in all. `failed`: what could
    not be found out or fetched. `error` says why the whole of it failed.
    """

    id: str
    state: RunState
    doing: str
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    files: int | None = None
    fetched: int = 0
    present: int = 0
    failed: int = 0
    bytes: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchDetails:
    """A job, the first thousand `failures`, and `notes`: what of the files was left aside."""

    prefetch: Prefetch
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
