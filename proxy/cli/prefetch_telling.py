"""What prefetch tells: bars on a terminal, lines, one JSON document, or tables of mirrors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.mirror.wanted.closure import Closure, Failure
from proxy.mirror.wanted.exact import as_toml, specs_of
from proxy.mirror.wanted.fetching import Fetched
from proxy.upstream.served import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line says."""

    files: tuple[Path, ...]
    url: str
    mirrors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    form: str | None = None
    jobs: int = 8
    token: str | None = field(default=None, repr=False)
    as_json: bool = False
    dry_run: bool = False
    as_specs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    mirrors: tuple[Served, ...]
    closure: Closure
    fetched: tuple[Fetched, ...]
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be found out, and what could not be fetched."""
        late = (one.failure for one in self.fetched if one.failure is not None)
        return (*self.closure.failures, *late)


class Teller(Protocol):
    """Whoever shows what happens."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def step(self, text: str) -> None:
        """Something begins that takes a while."""
        ...

    def begin(self, count: int) -> None:
        """That many files are to be fetched."""
        ...

    def fetched(self, one: Fetched) -> None:
        """One of them is done."""
        ...

    def end(self, outcome: Outcome) -> None:
        """All is done."""
        ...


def teller_for(order: Order) -> Teller:
    if order.as_json:
        return _Document(order)
    if order.as_specs:
        return _Tables(order)
    return _Bar(order) if sys.stderr.isatty() else _Lines(order)


class _Document:
    """One JSON document at the end, for programs."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def step(self, text: str) -> None: ...

    def begin(self, count: int) -> None: ...

    def fetched(self, one: Fetched) -> None: ...

    def end(self, outcome: Outcome) -> None:
        sys.stdout.write(json.dumps(_document(outcome, self._order), indent=2) + "\n")


class _Tables(_Document):
    """Tables of active mirrors at the end, for a configuration file."""

    def end(self, outcome: Outcome) -> None:
        for line in told(outcome):
            sys.stderr.write(f"{line}\n")
        for line in as_toml(specs_of(outcome.closure.files, outcome.mirrors)):
            sys.stdout.write(f"{line}\n")


class _Lines(_Document):
    """A line for each step and file."""

    def step(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")

    def fetched(self, one: Fetched) -> None:
        if one.pulled is not None:
            how = "was here" if one.pulled.here else "fetched"
            sys.stdout.write(f"{how}: {one.file.name} ({size_text(one.pulled.size)})\n")

    def end(self, outcome: Outcome) -> None:
        if self._order.dry_run:
            base = self._order.url.rstrip("/")
            for file in outcome.closure.files:
                sys.stdout.write(f"{file.url.removeprefix(base)}\n")
        for line in told(outcome):
            sys.stderr.write(f"{line}\n")
        sys.stdout.write(f"{summary(outcome)}\n")


class _Bar(_Lines):
    """A bar on a terminal."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[size]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=None, size="")
        self._size = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def begin(self, count: int) -> None:
        self._progress.update(self._task, description="fetching", total=count)

    def fetched(self, one: Fetched) -> None:
        self._size += one.pulled.size if one.pulled else 0
        self._progress.update(self._task, advance=1, size=size_text(self._size))

    def end(self, outcome: Outcome) -> None:
        self._progress.stop()
        super().end(outcome)


def told(outcome: Outcome) -> Iterator[str]:
    """The notes, then what could not be had, each with its reason."""
    for note in outcome.notes:
        yield f"note: {note}"
    for failure in outcome.failures:
        where = f" ({failure.where})" if failure.where else ""
        yield f"not there: {failure.what}: {failure.reason}{where}"


def summary(outcome: Outcome) -> str:
    """One line with counts and sizes."""
    pulled = [one.pulled for one in outcome.fetched if one.pulled is not None]
    fetched = [one for one in pulled if not one.here]
    size = size_text(sum(one.size for one in pulled))
    counts = f"{len(fetched)} fetched, {len(pulled) - len(fetched)} were here"
    return (
        f"{len(outcome.closure.files)} files, {size}: {counts}, "
        f"{len(outcome.failures)} could not be had"
    )


def size_text(count: int) -> str:
    """Bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _document(outcome: Outcome, order: Order) -> dict[str, Any]:
    pulled = {one.file.url: one.pulled for one in outcome.fetched if one.pulled is not None}
    base = order.url.rstrip("/")
    files: list[dict[str, Any]] = []
    for file in outcome.closure.files:
        row: dict[str, Any] = {"path": file.url.removeprefix(base), "where": file.where}
        if (one := pulled.get(file.url)) is not None:
            row |= {"size": one.size, "sha256": one.sha256, "here": one.here}
        files.append(row)
    failures = [
        {"what": one.what, "reason": one.reason, "where": one.where, "rule": one.rule}
        for one in outcome.failures
    ]
    return {"files": files, "failures": failures, "notes": list(outcome.notes)}
