"""What a policy says of the files that the indexes held here list: to explain it, and to compare.

Judged are stored indexes: upstream is not asked, and what nobody has asked for is not known.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from proxy.core.advisories import Advisories
from proxy.core.ages import stepped
from proxy.core.model import Entry, Index, Mirror
from proxy.core.policy import Policy, Verdict
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import ROWS, Body, Context, Ecosystem, Judged
from proxy.errors import RequestError, StorageError, UnknownPath
from proxy.gateway import freezing
from proxy.gateway.closures import ClosureJob, closed, lists
from proxy.gateway.contexts import concerning, in_force
from proxy.gateway.present import look
from proxy.gateway.render import mapped
from proxy.gateway.sights import remembered
from proxy.storage.ports import Blobs, Catalog

MOST = 5000
"""Files that a pattern may stand for: who asks for more has not said what is looked for."""

_EVERYTHING = Policy(name="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeJob:
    """Judge what the blob at `blob`, a generation of `index`, lists, under each of `policies`.

    `package`: only files of that name, in which `*` and `?` stand for others. `changed`: only those
    on which the policies differ.
    `closure` makes the table of what their allow-lists keep; None: they have none to be closed.
    """

    index: Index
    blob: Path
    source: str
    media_type: str
    url: str
    policies: tuple[Policy | None, ...]
    package: str | None
    changed: bool
    moment: float
    seen_at: float
    first_seen: Path | None
    here: bytes | None
    advisories: Advisories | None
    closure: ClosureJob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One file of an index, since when it is known (seconds since the epoch), and the verdicts of
    each policy on it.
    """

    index: str
    filename: str
    name: str
    version: str
    published: float | None
    verdicts: tuple[Verdict, ...]


Run = Callable[[Callable[[JudgeJob], list[Compared]], JudgeJob, int], Awaitable[list[Compared]]]
"""Runs a job that reads so many bytes, off the event loop."""


def judge(job: JudgeJob) -> list[Compared]:
    """Run one such job. Raises BadIndex and StorageError."""
    try:
        with mapped(job.blob) as content:
            body = Body(
                content=content,
                source=job.source,
                media_type=job.media_type,
                url=job.url,
                first_seen=b"" if job.first_seen is None else job.first_seen.read_bytes(),
                closure=None if job.closure is None else closed(job.closure),
            )
            return _compared(job, body)
    except OSError as error:
        raise StorageError(f"{job.index.path} cannot be read: {error}") from error


def _compared(job: JudgeJob, body: Body) -> list[Compared]:
    ecosystem = ECOSYSTEMS[job.index.mirror.partition("/")[0]]
    columns: list[list[Judged]] = []
    for policy in job.policies:
        context = Context(
            mirror=job.index.mirror,
            policy=policy or _EVERYTHING,
            moment=job.moment,
            seen_at=job.seen_at,
            here=job.here,
            advisories=job.advisories,
        )
        judged = ecosystem.judged(job.index, body, context)
        is_wanted = _meant(job.package)
        columns.append([one for one in judged if is_wanted(one.name)])
    found: list[Compared] = []
    for row in zip(*columns, strict=True):
        if is_pattern(job.package) and len(found) > MOST:
            break  # `answer` refuses it
        verdicts = tuple(one.verdict for one in row)
        if job.changed and len({verdict.effect for verdict in verdicts}) == 1:
            continue
        first = row[0]
        found.append(
            Compared(
                index=job.index.path,
                filename=first.filename,
                name=first.name,
                version=first.version,
                published=first.published,
                verdicts=verdicts,
            )
        )
    return found


def spelt(name: str) -> str:
    """A package's name with the differences taken out that indexes take no notice of."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_pattern(package: str | None) -> bool:
    """Whether *package* may stand for several names."""
    return package is not None and ("*" in package or "?" in package)


def _meant(package: str | None) -> Callable[[str], bool]:
    """Tells whether a name is *package*, or what its `*` and `?` stand for; None: any name."""
    if package is None:
        return lambda _: True
    wanted = spelt(package)
    if not is_pattern(wanted):
        return lambda name: spelt(name) == wanted
    is_like = re.compile(fnmatch.translate(wanted.replace("[", "[[]"))).match
    return lambda name: is_like(spelt(name)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a mirror: see `JudgeJob`."""

    mirror: Mirror
    policies: tuple[Policy | None, ...]
    package: str | None = None
    changed: bool = False


async def answer(
    question: Question,
    catalog: Catalog,
    blobs: Blobs,
    *,
    now: float,
    run: Run,
    known: Mapping[str, Advisories] | None = None,
) -> list[Compared]:
    """The verdicts on all that the mirror's held indexes list; *known*: the advisories, by OSV's
    ecosystem, where they are looked at.

    Raises BadIndex and StorageError, and RequestError where a pattern stands for too many.
    """
    mirror, ecosystem = question.mirror, ECOSYSTEMS[question.mirror.type]
    policies = tuple(_as_of(one, mirror, now, known) for one in question.policies)
    specs = tuple(dict.fromkeys(chain.from_iterable(map(lists, policies))))
    found: list[Compared] = []
    present = await look(catalog, blobs, mirror) if mirror.lists_present else {}
    here = {one.path: (one, entry) for one, entry in await shown(catalog, mirror)}
    for index, entry in here.values():
        if not _may_list(ecosystem, index, question.package):
            continue
        blob = await blobs.open(entry.digest, entry.size)
        if blob is None:
            continue
        blob.close()
        sight = await remembered(catalog, index, entry)
        job = JudgeJob(
            index=index,
            blob=blobs.path(entry.digest),
            source=entry.source,
            media_type=entry.media_type,
            url=entry.url,
            policies=policies,
            package=question.package,
            changed=question.changed,
            moment=stepped(now),
            seen_at=now if sight is None else sight.at,
            first_seen=None if sight is None or sight.table is None else blobs.path(sight.table),
            here=present.get(index.path),
            advisories=concerning(ecosystem, index, known),
            closure=_closure(index, here, specs, blobs),
        )
        found += await run(judge, job, entry.size)
        if is_pattern(question.package) and len(found) > MOST:
            raise RequestError(
                f"{question.package} stands for more than {MOST} files of {mirror.key}: "
                "write more of the name"
            )
    return found


def _as_of(
    policy: Policy | None, mirror: Mirror, now: float, known: Mapping[str, Advisories] | None
) -> Policy | None:
    whole = in_force(policy, mirror, advised=known is not None)
    return whole and whole.at(now, mirror.type)


def _closure(
    index: Index,
    here: Mapping[str, tuple[Index, Entry]],
    specs: tuple[tuple[str, ...], ...],
    blobs: Blobs,
) -> ClosureJob | None:
    """What closes *specs* for *index*, over those of its companions that are *here*."""
    paths = ECOSYSTEMS[index.mirror.partition("/")[0]].companions(index, here) if specs else ()
    listed = tuple(here[path] for path in paths if path in here)
    if not listed:
        return None
    return ClosureJob(
        index=index,
        listed=listed,
        blobs=tuple(blobs.path(entry.digest) for _, entry in listed),
        specs=specs,
        workspace=blobs.workspace,
    )


async def shown(catalog: Catalog, mirror: Mirror) -> list[tuple[Index, Entry]]:
    """The indexes of files that clients are shown now; of a frozen mirror the frozen ones."""
    if mirror.frozen_at is None:
        return await held(catalog, mirror)
    ecosystem = ECOSYSTEMS[mirror.type]
    kept = await freezing.frozen(catalog, ecosystem, mirror)
    return [(index, entry) for index, entry in kept if _lists_files(ecosystem, index)]


async def held(catalog: Catalog, mirror: Mirror) -> list[tuple[Index, Entry]]:
    """The newest indexes of files that are here."""
    ecosystem = ECOSYSTEMS[mirror.type]
    found: list[tuple[Index, Entry]] = []
    for key in await catalog.keys(f"{mirror.key} "):
        try:
            index = ecosystem.classify(mirror.key, key.partition(" ")[2])
        except UnknownPath:
            continue
        if not isinstance(index, Index) or index.key != key or not _lists_files(ecosystem, index):
            continue
        entry = await catalog.get(key)
        if isinstance(entry, Entry):
            found.append((index, entry))
    return found


def _lists_files(ecosystem: Ecosystem, index: Index) -> bool:
    """Whether it has rows of its own."""
    if ecosystem.decided_by(index) is not None:
        return False
    return any(ROWS in group for group in ecosystem.groups(index))


def _may_list(ecosystem: Ecosystem, index: Index, package: str | None) -> bool:
    about = ecosystem.advised(index)
    only = None if about is None else about.package
    return only is None or _meant(package)(only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a new policy hides and brings back, by rule; `files` in the indexes' order."""

    hidden: Mapping[str, int] = field(default_factory=dict)
    brought_back: Mapping[str, int] = field(default_factory=dict)
    files: list[Compared] = field(default_factory=list)


def difference(compared: list[Compared]) -> Difference:
    """Of files judged under an old and a new policy."""
    hidden: Counter[str] = Counter()
    back: Counter[str] = Counter()
    changed: list[Compared] = []
    for one in compared:
        old, new = one.verdicts
        if old.hides == new.hides:
            continue
        changed.append(one)
        if new.hides:
            hidden[new.rule] += 1
        else:
            back[old.rule] += 1
    return Difference(hidden=hidden, brought_back=back, files=changed)


def as_row(one: Compared) -> dict[str, Any]:
    """A file with its verdict, the last one if there are several, for programs."""
    verdict = one.verdicts[-1]
    made: dict[str, Any] = {
        "index": one.index,
        "filename": one.filename,
        "name": one.name,
        "version": one.version,
        "published": None if one.published is None else _moment(one.published),
        "effect": verdict.effect.value,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "until": None if verdict.until is None else _moment(verdict.until),
    }
    if len(one.verdicts) > 1:
        made["before"] = one.verdicts[0].effect.value
    return made


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
