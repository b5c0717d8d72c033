"""How figures and times are written on the pages."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Bytes in decimal units, as disks and networks are sold."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[0]}" if unit == 0 else f"{count:.3g} {_UNITS[unit]}"


def speed(rate: float) -> str:
    """Bytes per second."""
    return f"{size(rate)}/s"


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def share(part: float, whole: float) -> str:
    """*part* of *whole* in per cent; a dash where there is no whole."""
    return percent(part / whole) if whole else "-"


def percent(ratio: float) -> str:
    """A ratio in per cent, which says 100 only where nothing is missing."""
    shown = round(100 * ratio, 1)
    if shown == 100 and ratio < 1:
        shown = 99.9
    return f"{shown:g} %"


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def clock(moment: float) -> str:
    """A moment in UTC, for people."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"


def iso(moment: float) -> str:
    """A moment in UTC, for programs."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
