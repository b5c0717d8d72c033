"""The keys of a `[[mirror]]` table that only active mirrors have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.key import Key
from proxy.config.kinds import DURATION, FLAG, SIZE, TEXTS, Kind, whole
from proxy.core.active import Active, Limits, Scope, Window
from proxy.core.frequency import USUAL, Frequency
from proxy.core.policy import Platforms, Specs
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.cran.paths import is_contrib

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


def _frequency(value: Any) -> Frequency:
    return Frequency.of(value if isinstance(value, str) else "")


def _window(value: Any) -> Window:
    found = _WINDOW.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise ValueError('write two different times of the day in UTC, such as "22:00-06:00"')
    hours = [int(part) for part in found.groups()]
    return Window(hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60)


def _shown(window: Window) -> str:
    times = (f"{at // 3600:02}:{at % 3600 // 60:02}" for at in (window.start, window.end))
    return "-".join(times)


FREQUENCY = Kind("cron expression", _frequency, show=lambda value: value.text)
WINDOW = Kind("two times of the day", _window, show=_shown)

ACTIVE = (
    Key(
        name="frequency",
        kind=FREQUENCY,
        default=None,
        help=f'When an active mirror is run, in UTC; `"{USUAL}"`, the first day of the month at '
        "midnight, where nothing else is written.",
    ),
    Key(
        name="platforms",
        kind=TEXTS,
        default=[],
        help="An active mirror fetches only for these: conda's subdirs (noarch always) and "
        "platform tags of wheels (source distributions always), with `*` and `?`; R's contrib "
        "folders, `src/contrib` where none is named.",
    ),
    Key(
        name="specs",
        kind=TEXTS,
        default=[],
        help="It fetches only these packages: names with versions, as in a policy's `specs`.",
    ),
    Key(
        name="dependencies",
        kind=FLAG,
        default=None,
        help="With all that the `specs` may need (not for `pypi`, whose indexes do not say it).",
    ),
    Key(
        name="newest",
        kind=whole(1, 100_000),
        default=None,
        help="Of each package only so many of the versions that the policy allows.",
    ),
    Key(
        name="size_limit",
        kind=SIZE,
        default=None,
        help="It fetches no more than this in all, the newest files first.",
    ),
    Key(
        name="concurrency",
        kind=whole(1, 64),
        default=None,
        help="Files that a run fetches at a time; 4 where nothing else is written.",
    ),
    Key(
        name="bandwidth",
        kind=SIZE,
        default=None,
        help="Bytes per second that a run fetches on average.",
    ),
    Key(
        name="window",
        kind=WINDOW,
        default=None,
        help='Time of the day in which a run fetches, in UTC, such as `"22:00-06:00"`.',
    ),
    Key(
        name="gone_after",
        kind=DURATION,
        default=None,
        help="Files that upstream no longer lists are removed after this; else they are kept.",
    ),
    Key(
        name="keep_runs",
        kind=whole(1, 1000),
        default=None,
        help="Runs that are remembered with their details; 20 where nothing else is written.",
    ),
)
"""They have no defaults of their own, so that a passive mirror with one of them is a mistake."""

_USUAL = Active()


def problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys of a mirror's table with what is wrong about them; the values are of their kinds."""
    kind = values["type"]
    if values["mode"] != "active":
        for key in ACTIVE:
            if values[key.name] not in (None, ()):
                yield key.name, 'is for active mirrors; write mode = "active" as well'
        return
    if kind == "files":
        yield "mode", "a tree of files has no index of what could be fetched; write passive"
        return
    if values["dependencies"] is not None and not values["specs"]:
        yield "dependencies", "are those of specs, and there are none"
    if kind == "cran" and (wrong := [one for one in values["platforms"] if not is_contrib(one)]):
        yield "platforms", f"{wrong[0]!r} is no contrib folder, such as bin/windows/contrib/4.5"
    wanted = Specs(values["specs"] or (), dependencies=bool(values["dependencies"]))
    if kind in ECOSYSTEMS and (problem := ECOSYSTEMS[kind].wrong(wanted)):
        yield "specs", problem
    for name in ("size_limit", "bandwidth"):
        if values[name] == 0:
            yield name, "write more than 0; for no limit leave it out"


def doubts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys likewise with what is likely to be a mistake; nothing is wrong with the values."""
    platforms, kind = values["platforms"], values["type"]
    if platforms and kind != "cran":  # its contrib folders are checked
        problem = ECOSYSTEMS[kind].doubtful(Platforms(platforms))
        if problem is not None:
            yield "platforms", problem


def active_of(values: Mapping[str, Any]) -> Active | None:
    """How the mirror of checked *values* is run; None for a passive one."""
    if values["mode"] != "active":
        return None
    return Active(
        frequency=values["frequency"] or _USUAL.frequency,
        scope=Scope(
            platforms=values["platforms"],
            specs=values["specs"],
            dependencies=values["dependencies"] is not False and values["type"] != "pypi",
            newest=values["newest"],
            size_limit=values["size_limit"],
        ),
        limits=Limits(
            concurrency=values["concurrency"] or _USUAL.limits.concurrency,
            bandwidth=values["bandwidth"],
            window=values["window"],
        ),
        gone_after=values["gone_after"],
        keep_runs=values["keep_runs"] or _USUAL.keep_runs,
    )
