"""Which records of an index are hidden: what a subdir's repodata.json hides, its other indexes
hide too, so that every view shows exactly what can be fetched.

`repodata_from_packages.json` has other metadata for the same files and `run_exports.json` has
next to none; judged by themselves they would show other files than the gate lets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from proxy.core.blocks import opened
from proxy.core.model import Index
from proxy.core.policy import Effect, Policy, Verdict
from proxy.core.rows import decode_row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.dating import Term
from proxy.ecosystems.conda.judging import JudgeOfName, Judging
from proxy.ecosystems.conda.records import Judgeable
from proxy.ecosystems.conda.sections import Section

UNKNOWN = Verdict(
    effect=Effect.DENY, rule="unknown-kind", reason="no policy can judge files of this kind yet"
)


class Gate:
    """The verdicts on one index. Not for use by two renderings."""

    def __init__(self, index: Index, body: Body, context: Context, policy: Policy) -> None:
        self._judging = Judging(index, body, context, policy)
        self._rows = None if body.gate is None else known(body.gate)

    def hiding(self, section: Section) -> Callable[[Mapping[str, Any]], dict[str, Verdict]]:
        """What gives the verdicts that hide some of the section's records, given by their keys."""
        if section.kind is None:
            return lambda records: dict.fromkeys(records, UNKNOWN)
        rows, kind, of = self._rows, section.kind, self._judging.of
        told = partial(self._judging.told, kind)
        of_name: dict[str, JudgeOfName] = {}
        alike: set[str] = set()  # names of whose files nothing is told that is not told of all

        def hidden(records: Mapping[str, Judgeable]) -> dict[str, Verdict]:
            found: dict[str, Verdict] = {}
            keys, rest = list(records), list(records.values())
            if rows is not None:
                found, keys = _known(rows, section, records)
                rest = [records[key] for key in keys]
            names = [record.name for record in rest]
            for name in {*names}.difference(of_name):
                of_name[name] = judge = of(kind, name)
                if self._judging.is_complete(judge):
                    alike.add(name)
            denied = _denied(keys, rest, list(map(of_name.__getitem__, names)))
            for key, verdict in denied.items():
                record = records[key]
                name = record.name
                found[key] = verdict if name in alike else told(verdict, record, of_name[name])
            return found

        return hidden

    def term(self, records: Mapping[str, Judgeable]) -> Term:
        """See `Judging.term`."""
        return self._judging.term(list(records.values()))


def _denied(
    keys: Sequence[str], records: Sequence[Judgeable], judges: Sequence[JudgeOfName]
) -> dict[str, Verdict]:
    """The verdicts that hide. Neighbours with one judge are looked at together first."""
    deny = Effect.DENY
    found: dict[str, Verdict] = {}
    stop = 0
    for judge, count in _runs(judges):
        start, stop = stop, stop + count
        if isinstance(judge, Verdict):
            if judge.effect is deny:
                found |= dict.fromkeys(keys[start:stop], judge)
            continue
        for at in judge.suspects(records[start:stop]):
            verdict = judge(records[start + at])
            if verdict.effect is deny:
                found[keys[start + at]] = verdict
    return found


def _runs(judges: Sequence[JudgeOfName]) -> Iterable[tuple[JudgeOfName, int]]:
    if judges and judges.count(judges[0]) == len(judges):
        return ((judges[0], len(judges)),)
    return [(judge, len(list(group))) for judge, group in groupby(judges)]


def _known(
    rows: Mapping[str, tuple[str, str] | None], section: Section, records: Mapping[str, Judgeable]
) -> tuple[dict[str, Verdict], list[str]]:
    """What *rows* hides of *records*, and the keys of those of which it says nothing."""
    found: dict[str, Verdict] = {}
    rest: list[str] = []
    for key in records:
        filename = section.filename(key)
        if filename not in rows:
            rest.append(key)
        elif (denied := rows[filename]) is not None:
            found[key] = Verdict(effect=Effect.DENY, rule=denied[0], reason=denied[1])
    return found, rest


def known(table: bytes | memoryview) -> dict[str, tuple[str, str] | None]:
    """Every file in a row table: None, or the rule and the reason why it is hidden."""
    return {key: decode_row(value).denied for key, value in opened(table).items()}
