"""Policies on the command line: checked, summed up, explained, compared."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from proxy.advisories.store import load, places_of
from proxy.cli.cache import Told, store_of
from proxy.config import Settings
from proxy.config.fitting import check_fits, ended, fit
from proxy.config.policies import NONE, listing_as, read_one
from proxy.core.model import Mirror
from proxy.core.policy import Policy
from proxy.core.policy_text import summary
from proxy.core.telling import told
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.kept import Kept, read
from proxy.errors import ConfigError
from proxy.gateway.closures import ClosureJob, close, lists
from proxy.gateway.contexts import in_force
from proxy.gateway.explaining import (
    Compared,
    Difference,
    JudgeJob,
    Question,
    answer,
    as_row,
    difference,
    held,
    shown,
)

_SHOWN = 20
"""Names that are listed unless all are asked for."""


def checked(path: Path) -> Told:
    """The summary of the policy in *path*, and which types of mirrors it fits.

    Raises ConfigError where it is malformed, or fits none.
    """
    if not path.suffix and not path.exists():
        raise ConfigError(
            f"{path}: is no file; write a policy's path, such as policies/{path}.toml"
        )
    policy = read_one(path)
    found = fit(policy)
    lines = [
        f"Not for {kind} mirrors: {one}" for kind, its in found.problems.items() for one in its
    ]
    if not found.types:
        raise ConfigError("\n".join(lines))
    said = tuple(summary(policy))
    over = tuple(ended(policy, time.time()))
    warnings = tuple(f"Warning: {one}" for one in found.doubts)
    return Told(
        lines=(*said, *over, f"Fits mirrors of type {', '.join(found.types)}.", *lines, *warnings),
        values={
            "summary": said,
            "over": over,
            "fits": found.types,
            "problems": found.problems,
            "warnings": found.doubts,
        },
    )


def summed_up(settings: Settings, name: str) -> Iterator[str]:
    """What now holds for a mirror, or what a policy that is named or in a file says, in words.

    Raises ConfigError.
    """
    if any(name in (one.key, one.name) for one in settings.mirrors):
        mirror = mirror_of(settings, name)
        policy = in_force(mirror.policy, mirror, advised=settings.advisories.osv is not None)
        holding = policy and policy.at(time.time(), mirror.type)
        yield from summary(holding) if holding else ["Everything is allowed."]
        return
    yield from summary(named(settings, name))


def named(settings: Settings, name: str) -> Policy:
    """The configured policy of that name, or the one in that file. Raises ConfigError."""
    if name == NONE:
        return Policy(name=name)
    found = settings.policies.get(name)
    if found is not None:
        return found
    if name.endswith(".toml"):
        return read_one(Path(name))
    known = ", ".join(sorted(settings.policies)) or "none"
    raise ConfigError(f"there is no policy {name!r}; known: {known}; a file ends in .toml")


def mirror_of(settings: Settings, name: str) -> Mirror:
    """The mirror called so, or `type/name`. Raises ConfigError."""
    found = [one for one in settings.mirrors if name in (one.key, one.name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(one.key for one in found or settings.mirrors)
    problem = "there is no mirror" if not found else "there are several mirrors"
    raise ConfigError(f"{problem} {name}; write one of {known}")


def explained(settings: Settings, mirror: str, package: str) -> list[Compared]:
    """The verdicts on every file of *package* that is listed here.

    Raises ConfigError, BadIndex, StorageError.
    """
    one = mirror_of(settings, mirror)
    found, _ = _asked(settings, Question(mirror=one, policies=(one.policy,), package=package))
    return found


def compared(settings: Settings, old: str, new: str, mirror: str) -> tuple[Difference, int]:
    """What the policy *new* would change for *mirror*, and in how many indexes that was looked for.

    Raises ConfigError, BadIndex, StorageError.
    """
    policies = named(settings, old), named(settings, new)
    one, advised = mirror_of(settings, mirror), settings.advisories.osv is not None
    for policy in policies:
        check_fits(policy, one.type, advised=advised)
    listing = tuple(listing_as(policy, one.policy) for policy in policies)
    question = Question(mirror=one, policies=listing, changed=True)
    found, looked_at = _asked(settings, question)
    return difference(found), looked_at


def _asked(settings: Settings, question: Question) -> tuple[list[Compared], int]:
    """The answer, and how many indexes of the mirror are here."""

    async def run(work: Any, job: JudgeJob, _: int) -> list[Compared]:
        found: list[Compared] = work(job)
        return found

    now, places = time.time(), places_of(settings.advisories)
    known = None if places is None else load(places, now)

    async def main() -> tuple[list[Compared], int]:
        async with store_of(settings) as store:
            catalog, blobs = store.catalog, store.blobs
            here = await shown(catalog, question.mirror)
            found = await answer(question, catalog, blobs, now=now, run=run, known=known)
            return found, len(here)

    return asyncio.run(main())


def dependencies(settings: Settings, name: str) -> list[Kept]:
    """What the mirror's allow-lists keep of the indexes that are here, with all that it needs.

    Raises ConfigError, BadIndex, StorageError.
    """
    mirror = mirror_of(settings, name)
    specs = lists(mirror.policy)
    if not specs:
        raise ConfigError(f"the policy of {mirror.key} has no specs with dependencies = true")
    return asyncio.run(_dependencies(settings, mirror, specs))


async def _dependencies(
    settings: Settings, mirror: Mirror, specs: tuple[tuple[str, ...], ...]
) -> list[Kept]:
    ecosystem = ECOSYSTEMS[mirror.type]
    found: dict[tuple[str, str], Kept] = {}
    async with store_of(settings) as store:
        blobs = store.blobs
        known = await held(store.catalog, mirror)
        here = {index.path: (index, entry) for index, entry in known}
        for index, _ in here.values():
            paths = ecosystem.companions(index, here)
            listed = tuple(here[path] for path in paths if path in here)
            job = ClosureJob(
                index=index,
                listed=listed,
                blobs=tuple(blobs.path(entry.digest) for _, entry in listed),
                specs=specs,
                workspace=blobs.workspace,
            )
            output = close(job)
            for kept in read(output.path.read_bytes()).values():
                for one in kept:
                    found.setdefault((one.subdir, one.filename), one)
            output.path.unlink()
    return [found[key] for key in sorted(found)]


# -- as text -----------------------------------------------------------------------------


def explanation(found: list[Compared]) -> Iterator[str]:
    """One line for each file: the verdict, the rule, the reason, until when that is so where its
    age will end it, and since when it is known.
    """
    for one in found:
        (verdict,) = one.verdicts
        line = f"{one.filename}: {verdict.effect.value} by {verdict.rule}: {told(verdict)}"
        if one.published is not None:
            line = f"{line.removesuffix('.')}; known since {_day(one.published)}"
        yield line


def changes(found: Difference, looked_at: int, *, everything: bool) -> Iterator[str]:
    """Counts by rule, then names, of so many indexes."""
    hidden, back = sum(found.hidden.values()), sum(found.brought_back.values())
    yield f"{hidden} files would be hidden, {back} brought back."
    for rule, count in sorted(found.hidden.items()):
        yield f"  hidden by {rule}: {count}"
    for rule, count in sorted(found.brought_back.items()):
        yield f"  no longer hidden by {rule}: {count}"
    listed = found.files if everything else found.files[:_SHOWN]
    for one in listed:
        yield f"{'-' if one.verdicts[1].hides else '+'} {one.index}: {one.filename}"
    if len(listed) < len(found.files):
        yield f"and {len(found.files) - len(listed)} more; --all shows them"
    yield f"Indexes that are here and were looked at: {looked_at}."


def report(found: list[Kept], form: str) -> str:
    """The dependency report: every file that is kept, directly or through whom."""
    rows = [(one.subdir, one.filename, one.name, one.version, one.through or "") for one in found]
    columns = ("subdir", "filename", "name", "version", "through")
    if form == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        return text.getvalue().rstrip()
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row[:4], row[4] or "direct")
    console = Console(width=160, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip()


def as_json(found: list[Compared]) -> str:
    """The same for programs."""
    return json.dumps([as_row(one) for one in found], indent=2)


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
