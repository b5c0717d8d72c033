"""Which records of an index are hidden: what a subdir's repodata.json hides, its other indexes
hide too, so that every view shows exactly what can be fetched.

`repodata_from_packages.json` has other metadata for the same files and `run_exports.json` has
next to none; judged by themselves they would show other files than the gate lets through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.core.model import Index
from proxy.core.policy import Effect, Policy, Verdict
from proxy.core.rows import Table, decode_row
from proxy.ecosystems.base import Body, Context
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
        rows, kind, of, told = self._rows, section.kind, self._judging.of, self._judging.told
        of_name: dict[str, JudgeOfName] = {}
        deny = Effect.DENY

        def hidden(records: Mapping[str, Judgeable]) -> dict[str, Verdict]:
            found: dict[str, Verdict] = {}
            for key, record in records.items():
                if rows is not None and (filename := section.filename(key)) in rows:
                    denied = rows[filename]
                    if denied is not None:
                        found[key] = Verdict(effect=deny, rule=denied[0], reason=denied[1])
                    continue
                judge = of_name.get(record.name)
                if judge is None:
                    judge = of_name[record.name] = of(kind, record.name)
                verdict = judge if isinstance(judge, Verdict) else judge(record)
                if verdict.effect is deny:
                    found[key] = told(verdict, record)
            return found

        return hidden


def known(table: bytes | memoryview) -> dict[str, tuple[str, str] | None]:
    """Every file in a row table: None, or the rule and the reason why it is hidden."""
    return {key: decode_row(value).denied for key, value in Table(table).items()}
