"""Mirrors and runs as lines of text, and a run's progress on a terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from proxy.cli.remote import Remote
from proxy.web.admin.wording import duration, size, speed

LOOK = 0.5
"""Seconds between two looks at a run's progress."""

SAY = 10.0
"""Seconds between two lines about a step that takes long, where there is no terminal."""

INTERRUPTED = 130
"""Exit status of a command that was interrupted (128 and the number of the signal)."""

_GOING = ("queued", "running", "stopping")
_WIDTH = 160  # columns of a table where no terminal says


def listed(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """All mirrors as a table."""
    rows = []
    for one in found:
        definition, latest = one["definition"], one["latest"]
        state = "frozen" if one["frozen_at"] is not None else ""
        if latest is not None:
            state = f"{state} {latest['state']}".strip()
        if definition["shadowed"]:
            state = "not served: the configuration has one of this name"
        rows.append(
            (
                definition["key"],
                definition["values"].get("mode", "passive"),
                "its own lists" if one["policy"] == definition["key"] else one["policy"] or "-",
                state or "-",
                _moment(one["next_run"]),
            )
        )
    return _table(("mirror", "mode", "policy", "state", "next run (UTC)"), rows)


def shown(status: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One mirror: how it stands, its settings, its runs."""
    definition = status["definition"]
    lines = [f"{definition['key']} (from the {_origin(definition['origin'])})"]
    if status["frozen_at"] is not None:
        lines.append(f"frozen since {_moment(status['frozen_at'])} UTC")
    if status["frequency"] is not None:
        lines.append(f"runs: {status['frequency_text']}; next: {_moment(status['next_run'])} UTC")
    lines += [f"  {name} = {value}" for name, value in definition["values"].items()]
    lines += doubtful(status)
    if runs:
        rows = [
            (
                one["id"],
                one["state"],
                _moment(one["queued_at"]),
                str(one["counts"]["fetched"]),
                str(one["counts"]["failed"]),
            )
            for one in runs
        ]
        lines += ["", *_table(("run", "state", "begun (UTC)", "fetched", "failed"), rows)]
    return lines


def doubtful(status: Mapping[str, Any]) -> list[str]:
    """What of a mirror's settings is likely to be a mistake."""
    return [f"Warning: {one}" for one in status["definition"]["doubts"]]


def finished(details: Mapping[str, Any]) -> list[str]:
    """What a run did, and why it left out what it did."""
    run = details["run"]
    counts = run["counts"]
    lines = [f"Run {run['id']} of {run['mirror']}: {run['state']}."]
    if run["error"]:
        lines.append(f"  {run['error']}")
    if run["starved_at"] is not None:
        until = _moment(run["starved_at"])
        lines.append(
            f"  All processors were busy until {until} UTC; since then it had a share of its own."
        )
    lines.append(
        f"{counts['listed']} files listed upstream: {counts['hidden']} hidden by policy, "
        f"{counts['beyond']} not in the scope, {counts['wanted']} wanted; of these "
        f"{counts['present']} were here, {counts['fetched']} fetched, {counts['failed']} failed."
    )
    for name in ("hidden", "beyond"):
        lines += [
            f"  {name} by {one['rule']}: {one['files']} ({one['reason']})" for one in details[name]
        ]
    lines += [
        f"  failed after {one['attempts']} attempts: {one['path']}: {one['error']}"
        for one in details["failures"]
    ]
    here = f"{details['actively']} by runs, {details['passively']} by clients"
    return [*lines, f"Here because of: {here}."]


def differing(found: Mapping[str, Any]) -> list[str]:
    """What unfreezing would change."""
    lines = [f"Frozen since {_moment(found['frozen_at'])} UTC."]
    for one in found["indexes"]:
        lines.append(
            f"{one['index']}: {one['added']} files would come, {one['removed']} go, "
            f"{one['changed']} change"
        )
        for sign, name in (("+", "added"), ("-", "removed"), ("~", "changed")):
            lines += [f"  {sign} {file}" for file in one[f"{name}_files"][:20]]
    return lines if found["indexes"] else [*lines, "Nothing would change."]


def needed(found: Mapping[str, Any]) -> list[str]:
    """What is kept because others need it."""
    rows = [
        (one["name"], str(one["files"]), ", ".join(one["roots"]), ", ".join(one["needed_by"]))
        for one in found["kept"]
    ]
    missing = [f"nothing that is allowed: {name}" for name in found["missing"]]
    return [*_table(("package", "files", "asked for by", "needed by"), rows), *missing]


def follow(remote: Remote, mirror: str, run: str, *, is_silent: bool) -> Mapping[str, Any]:
    """Wait until *run* is over, showing how it goes; its details.

    Raises RemoteError, and Exit where the user has waited enough, which ends the waiting alone.
    """
    try:
        if is_silent or not sys.stderr.isatty():
            return _plainly(remote, mirror, run, is_silent=is_silent)
        return _drawn(remote, mirror, run)
    except KeyboardInterrupt:
        typer.echo(
            f"The run goes on. `pkgproxy mirror watch {mirror}` shows it, "
            f"`pkgproxy mirror stop {mirror}` stops it.",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None


def _drawn(remote: Remote, mirror: str, run: str) -> Mapping[str, Any]:
    """A bar that grows."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task: TaskID = bar.add_task("queued", total=None, said="")
        for details in _looks(remote, mirror, run):
            counts = details["run"]["counts"]
            bar.update(
                task,
                description=_at(details),
                total=counts["to_fetch"] or None,
                completed=counts["fetched"] + counts["failed"],
                said=_progress(details),
            )
    return details


def _plainly(remote: Remote, mirror: str, run: str, *, is_silent: bool) -> Mapping[str, Any]:
    """A line whenever something else is done, and now and then while it is."""
    before, said_at = "", 0.0
    for details in _looks(remote, mirror, run):
        at, now = _at(details), time.monotonic()
        if is_silent or (at == before and now - said_at < SAY):
            continue
        before, said_at = at, now
        how = _progress(details)
        sys.stderr.write(f"{at}: {how}\n" if how else f"{at}\n")
        sys.stderr.flush()
    return details


def _looks(remote: Remote, mirror: str, run: str) -> Iterator[Mapping[str, Any]]:
    """The details of a run, again and again, the last time when it is over."""
    while True:
        details: Mapping[str, Any] = remote.get("mirrors", mirror, "runs", run)
        yield details
        if details["run"]["state"] not in _GOING:
            return
        time.sleep(LOOK)


def _at(details: Mapping[str, Any]) -> str:
    run = details["run"]
    return str(run["step"] if run["state"] == "running" else run["state"])


def _progress(details: Mapping[str, Any]) -> str:
    """How many files of how many; nothing while that is not known yet."""
    run = details["run"]
    counts = run["counts"]
    if not counts["to_fetch"]:
        return ""
    text = (
        f"{counts['fetched']} of {counts['to_fetch']} files, "
        f"{size(counts['bytes_fetched'])} of {size(counts['bytes_to_fetch'])}"
    )
    if counts["failed"]:
        text += f", {counts['failed']} failed"
    if run["rate"] is not None:
        text += f", {speed(run['rate'])}"
    if run["remaining"]:
        text += f", about {duration(run['remaining'])} left"
    return text


def _origin(name: str) -> str:
    return "configuration file" if name == "configuration" else "administration"


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(width=_WIDTH, file=text).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]
