"""How often an active mirror is run: a cron expression, and what it means.

Expressions are read by cronsim, which knows what Debian's cron does with days of the month and of
the week, and the extensions `L` and `#`. All is in UTC: there no hour is skipped or comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""What crontab(5) has in place of five fields."""

USUAL = "@monthly"
"""The first day of the month at midnight."""

_FIELDS = 5  # cronsim takes a sixth, for seconds: nobody mirrors every second


@dataclass(frozen=True, slots=True)
class Frequency:
    """An expression that has been checked, as it was written."""

    text: str

    @classmethod
    def of(cls, text: str) -> Frequency:
        """Raises ValueError, with what to write instead."""
        expression = ALIASES.get(text.strip().lower(), text)
        if len(expression.split()) != _FIELDS:
            known = ", ".join(ALIASES)
            raise ValueError(
                "write five fields: minute, hour, day of the month, month, day of the week; "
                f'such as "30 2 * * sat", or one of {known}'
            )
        try:
            CronSim(expression, _EPOCH)
        except CronSimError as error:
            raise ValueError(f"{text!r} is no cron expression: {error}") from error
        return cls(text.strip())

    @property
    def aloud(self) -> str:
        """In words: "At 00:00 on the first day of every month, UTC"."""
        return f"{self._from(_EPOCH).explain()}, UTC"

    def after(self, moment: float) -> float | None:
        """The first time it is due after *moment* (seconds since the epoch); None: never."""
        return next(self.following(moment), None)

    def following(self, moment: float) -> Iterator[float]:
        """All times at which it is due after *moment*, in order."""
        for due in self._from(datetime.fromtimestamp(moment, UTC)):
            yield due.timestamp()

    def _from(self, moment: datetime) -> CronSim:
        return CronSim(ALIASES.get(self.text.lower(), self.text), moment)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
