"""Which records of an index are hidden: what a subdir's repodata.json hides, its other indexes
hide too, so that every view shows exactly what can be fetched.

`repodata_from_packages.json` has other metadata for the same files and `run_exports.json` has
next to none; judged by themselves they would show other files than the gate lets through.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.model import Index
from proxy.core.policy import Effect, Policy, Verdict
from proxy.core.rows import Table, decode_row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.judging import Judging
from proxy.ecosystems.conda.sections import Section

_UNKNOWN = Verdict(
    effect=Effect.DENY, rule="unknown-kind", reason="no policy can judge files of this kind yet"
)


class Gate:
    """The verdicts on one index. Not for use by two renderings."""

    def __init__(self, index: Index, body: Body, context: Context, policy: Policy) -> None:
        self._judging = Judging(index, body, context, policy)
        self._rows = None if body.gate is None else known(body.gate)

    def hidden(self, section: Section) -> Mapping[str, Verdict]:
        """Those of the section's records, by key, that are hidden. Raises BadIndex."""
        if section.kind is None:
            return dict.fromkeys(section.members, _UNKNOWN)
        if self._rows is None:
            return self._judging.hidden(section.kind, section.records)
        found: dict[str, Verdict] = {}
        newer = {}
        for key, record in section.records.items():
            filename = section.filename(key)
            if filename not in self._rows:
                newer[key] = record
            elif (denied := self._rows[filename]) is not None:
                rule, reason = denied
                found[key] = Verdict(effect=Effect.DENY, rule=rule, reason=reason)
        return found | self._judging.hidden(section.kind, newer)


def known(table: bytes | memoryview) -> dict[str, tuple[str, str] | None]:
    """Every file in a row table: None, or the rule and the reason why it is hidden."""
    return {key: decode_row(value).denied for key, value in Table(table).items()}
