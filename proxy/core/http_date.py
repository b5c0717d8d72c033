"""HTTP dates (RFC 9110 section 5.6.7) to and from seconds since the epoch.

Reads the three forms that the RFC obliges a recipient to read and writes the one it allows a
sender to write. What is no such date reads as None: every field that holds one may then be
ignored, or counts as past, which is for the caller to say.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower(): number for number, name in enumerate(_MONTHS, start=1)}

_FORMS = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
        r"[a-z]{3}, (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4}) (?P<clock>[\d:]{8}) GMT",
        # RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
        r"[a-z]{6,9}, (?P<day>\d\d)-(?P<month>[a-z]{3})-(?P<year>\d\d) (?P<clock>[\d:]{8}) GMT",
        # asctime: Sun Nov  6 08:49:37 1994
        r"[a-z]{3} (?P<month>[a-z]{3}) (?P<day>[ \d]\d) (?P<clock>[\d:]{8}) (?P<year>\d{4})",
    )
)


@lru_cache(maxsize=1024)
def parse_http_date(value: str) -> float | None:
    """Seconds since the epoch of *value*, or None where it is not an HTTP date."""
    for form in _FORMS:
        if found := form.fullmatch(value.strip()):
            return _seconds(found)
    return None


def format_http_date(seconds: float) -> str:
    """*seconds* since the epoch as IMF-fixdate; fractions are cut off, as validators have none.

    Raises ValueError or OverflowError outside the years 1 to 9999.
    """
    return _format(int(seconds // 1))


@lru_cache(maxsize=1024)
def _format(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    # Not strftime: its names follow the locale.
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def _seconds(found: re.Match[str]) -> float | None:
    year = int(found["year"])
    if len(found["year"]) == 2:
        # The RFC wants "not more than 50 years ahead"; POSIX's fixed pivot needs no clock and
        # differs only for years that no validator bears.
        year += 1900 if year >= 69 else 2000
    try:
        hour, minute, second = map(int, found["clock"].split(":"))
        # A leap second (60) counts as the second before it.
        at = datetime(
            year,
            _MONTH[found["month"].lower()],
            int(found["day"]),
            hour,
            minute,
            59 if second == 60 else second,
            tzinfo=UTC,
        )
    except (ValueError, KeyError):
        return None
    return at.timestamp()
