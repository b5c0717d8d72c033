"""What an index lists, judged and planned: runs off the event loop, in a rendering process.

It reads what the views of the generation were made from, and the row table that was made beside
them, so that a run wants exactly what clients are shown. What it finds it writes into the ledger.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.core.active import Scope
from proxy.core.blocks import Rows
from proxy.core.model import Index
from proxy.core.rows import Row, decode_row
from proxy.core.telling import sooner
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.base import Body, Context, Ecosystem
from proxy.errors import StorageError
from proxy.gateway.render import mapped
from proxy.mirror.ledger_file import Page, Wanted, add_indexes, opened, write
from proxy.mirror.plan import Offer, Planned, planned, policy_of
from proxy.mirror.tables import mapped_table

EXAMPLES = 5
"""Files that are named of those that a rule leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyJob:
    """Plan what `run` wants of the generation at `blob` of `index`, whose row table is at `rows`.

    Without `rows` it lists no files, and only what it leads to is looked for.
    """

    index: Index
    blob: Path
    source: str
    media_type: str
    url: str
    rows: Path | None
    scope: Scope
    closure: Path | None
    ledger: Path
    run: str
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """So many files that one rule leaves out, the first of them `until` then, where it is known
    (seconds since the epoch).

    `reason` is that of all of them where they are `alike`, else of the first: a verdict names the
    vulnerabilities of its file.
    """

    reason: str
    files: int
    examples: tuple[str, ...]
    until: int | None = None
    alike: bool = True

    def and_(self, other: Left) -> Left:
        """Both together."""
        examples = (*self.examples, *other.examples)[:EXAMPLES]
        return Left(
            reason=self.reason,
            files=self.files + other.files,
            examples=examples,
            until=sooner(self.until, other.until),
            alike=self.alike and other.alike and self.reason == other.reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What an index lists, and what was left out by which rule or part of the scope.

    `leads`: it lists no files, and leads to indexes that do.
    """

    leads: bool = False
    listed: int = 0
    wanted: int = 0
    hidden: Mapping[str, Left] = field(default_factory=dict)
    beyond: Mapping[str, Left] = field(default_factory=dict)


def survey(job: SurveyJob) -> Surveyed:
    """Run one such job. Raises BadIndex and StorageError."""
    ecosystem = ECOSYSTEMS[job.index.mirror.partition("/")[0]]
    try:
        with contextlib.ExitStack() as stack:
            body = Body(
                content=stack.enter_context(mapped(job.blob)),
                source=job.source,
                media_type=job.media_type,
                url=job.url,
                closure=stack.enter_context(mapped(job.closure)) if job.closure else None,
            )
            connection = stack.enter_context(opened(job.ledger))
            if job.rows is None:
                paths = [one.path for one in ecosystem.leads(job.index, body)]
                add_indexes(connection, job.index.mirror, job.run, paths)
                return Surveyed(leads=bool(paths))
            table = stack.enter_context(mapped_table(job.rows))
            plan = list(_planned(job, ecosystem, body, table))
            page = Page(mirror=job.index.mirror, index=job.index.path, run=job.run, now=job.now)
            listed = {ecosystem.path(job.index, one.offer.row) for one in plan}
            write(connection, page, _wanted(job, ecosystem, plan, table), listed.__contains__)
            return _summed(plan)
    except OSError as error:
        raise StorageError(f"planning {job.index.path}: {error}") from error


def _planned(job: SurveyJob, ecosystem: Ecosystem, body: Body, table: Rows) -> Iterator[Planned]:
    offers = list(_offers(job, ecosystem, body, table))
    return planned(offers, job.scope.newest, ecosystem.newest_first)


def _offers(job: SurveyJob, ecosystem: Ecosystem, body: Body, table: Rows) -> Iterator[Offer]:
    context = Context(
        mirror=job.index.mirror,
        policy=policy_of(job.scope, ecosystem.name),
        moment=job.now,
        seen_at=job.now,
    )
    for one in ecosystem.judged(job.index, body, context):
        row_key = one.row or one.filename
        row = _row(table, row_key)
        if row is None:
            continue
        verdict = one.verdict
        yield Offer(
            row=row_key,
            name=one.name,
            version=one.version,
            published=one.published,
            size=row.size,
            denied=row.denied,
            until=row.until,
            beyond=(verdict.rule, verdict.reason) if verdict.hides else None,
        )


def _wanted(
    job: SurveyJob, ecosystem: Ecosystem, plan: list[Planned], table: Rows
) -> Iterator[Wanted]:
    for one in plan:
        if not one.is_wanted:
            continue
        offer, main = one.offer, ecosystem.path(job.index, one.offer.row)
        for key in (offer.row, *ecosystem.companions_of(offer.row)):
            row = _row(table, key)
            if row is not None:
                yield Wanted(
                    path=ecosystem.path(job.index, key),
                    main=main,
                    size=None if row.derived else row.size,
                    promise="" if row.derived else promise(row),
                    published=offer.published,
                )


def promise(row: Row) -> str:
    """What the index promises of a file's bytes, as one word; "": nothing."""
    for name in ("sha256", *sorted(row.hashes)):
        if name in row.hashes:
            return f"{name}={row.hashes[name]}"
    return ""


def _summed(plan: list[Planned]) -> Surveyed:
    hidden: dict[str, Left] = {}
    beyond: dict[str, Left] = {}
    for one in plan:
        if one.is_wanted:
            continue
        into = beyond if one.offer.denied is None else hidden
        rule, reason = one.offer.denied or one.beyond or ("", "")
        examples = (one.offer.row,)
        add(into, rule, Left(reason=reason, files=1, examples=examples, until=one.offer.until))
    wanted = len(plan) - sum(left.files for left in (*hidden.values(), *beyond.values()))
    return Surveyed(listed=len(plan), wanted=wanted, hidden=hidden, beyond=beyond)


def add(into: dict[str, Left], rule: str, left: Left) -> None:
    """Count *left* under *rule*."""
    known = into.get(rule)
    into[rule] = left if known is None else known.and_(left)


def _row(table: Rows, key: str) -> Row | None:
    value = table.get(key)
    return None if value is None else decode_row(value)
