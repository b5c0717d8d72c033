"""Which records of an index are hidden: what a subdir's repodata.json hides, its other indexes
hide too, so that every view shows exactly what can be fetched.

`repodata_from_packages.json` has other metadata for the same files and `run_exports.json` has
next to none; judged by themselves they would show other files than the gate lets through.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def judge(self, section: Section) -> Callable[[str, Any], Verdict | None]:
        """What gives the verdict that hides a record of the section, by its key, if one does."""
        assert section.kind is not None
        rows, kind, of = self._rows, section.kind, self._judging.of
        of_name: dict[str, JudgeOfName] = {}

        def judge(key: str, record: Judgeable) -> Verdict | None:
            if rows is not None and (filename := section.filename(key)) in rows:
                return _denied(rows[filename])
            judge = of_name.get(record.name)
            if judge is None:
                judge = of_name[record.name] = of(kind, record.name)
            verdict = judge if isinstance(judge, Verdict) else judge(record)
            return verdict if verdict.effect is Effect.DENY else None

        return judge


def _denied(denied: tuple[str, str] | None) -> Verdict | None:
    if denied is None:
        return None
    rule, reason = denied
    return Verdict(effect=Effect.DENY, rule=rule, reason=reason)


def known(table: bytes | memoryview) -> dict[str, tuple[str, str] | None]:
    """Every file in a row table: None, or the rule and the reason why it is hidden."""
    return {key: decode_row(value).denied for key, value in Table(table).items()}
