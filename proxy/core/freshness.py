"""May what we hold be reused? RFC 9111 section 4 and RFC 5861, as two questions.

`before_request` is asked with what the catalog holds, `after_response` with what upstream then
said. Neither reads a clock. Files verified against an index are immutable and never come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy.core.cache_control import CacheControl, lifetime
from proxy.core.model import Absence, Bounds, Entry, Validators
from proxy.errors import UpstreamFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Serve it. `ttl` seconds remain, more than 0."""

    entry: Entry
    ttl: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Ask upstream, conditionally where `validators` allow it. `overdue` seconds have passed.

    `servable_while_revalidating`: serve it at once and ask behind the client's back.
    `servable_on_error`: serve it where upstream then fails (not where it says "missing").
    """

    entry: Entry
    overdue: float
    validators: Validators
    servable_while_revalidating: bool
    servable_on_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Upstream said "no such file", and that is believed for `ttl` more seconds."""

    absence: Absence
    ttl: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Nothing usable is held."""


Before = Fresh | Stale | Absent | Miss


def before_request(held: Entry | Absence | None, *, now: float, bounds: Bounds) -> Before:
    """Say what *held* is worth at *now*."""
    if held is None:
        return Miss()
    # A check that lies in the future was dated by a wrong clock. Its distance counts as age, so
    # that small skew between nodes is harmless and a large one makes stale, not eternal.
    ttl = held.fresh_for - abs(now - held.checked_at)
    match held:
        case Absence():
            return Absent(absence=held, ttl=ttl) if ttl > 0 else Miss()
        case Entry():
            return Fresh(entry=held, ttl=ttl) if ttl > 0 else _stale(held, -ttl, bounds)


def _stale(entry: Entry, overdue: float, bounds: Bounds) -> Stale:
    control = CacheControl.parse(entry.headers.get("cache-control", ""))
    return Stale(
        entry=entry,
        overdue=overdue,
        validators=entry.validators,
        servable_while_revalidating=not bounds.offline
        and overdue < _revalidation_window(control, bounds),
        # "Disconnected" (RFC 9111 section 4.2.4) by the operator's will: nobody can be asked.
        servable_on_error=bounds.offline or overdue < _error_window(control, bounds),
    )


def _revalidation_window(control: CacheControl, bounds: Bounds) -> float:
    """Seconds after expiry in which a stale answer may go out while upstream is asked."""
    # RFC 9111 section 4.2.4 forbids this where no-cache, must-revalidate, proxy-revalidate or
    # an s-maxage ask for validation first; no-store is no weaker than no-cache.
    if control.no_cache or control.no_store or _outright(control):
        return 0.0
    granted = control.stale_while_revalidate
    if granted is None:
        # Otherwise the bound is the "out-of-band contract" that the same section speaks of.
        return 0.0 if control.s_maxage is not None else bounds.stale_while_revalidate
    # RFC 5861 section 3: upstream's own window, which the operator's bound can only narrow.
    return min(granted, bounds.stale_while_revalidate)


def _error_window(control: CacheControl, bounds: Bounds) -> float:
    """Seconds after expiry in which a stale answer may stand in for a failing upstream."""
    # must-revalidate and proxy-revalidate demand an error instead "in any circumstances" (RFC
    # 9111 sections 5.2.2.2, 5.2.2.8). Elsewhere we are "disconnected" (4.2.4), and the operator's
    # bound decides alone: also over no-cache, which some indexes send on everything, and over
    # s-maxage, which states a lifetime and only implies the rest. An upstream's stale-if-error
    # (RFC 5861 section 4) is a permission, not a limit to what an operator has agreed with it.
    return 0.0 if _outright(control) else bounds.stale_if_error


def _outright(control: CacheControl) -> bool:
    return control.must_revalidate or control.proxy_revalidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Upstream confirmed the body (304): `entry` replaces the one that was held."""

    entry: Entry

    @property
    def fresh_for(self) -> float:
        """Seconds for which the entry is fresh now."""
        return self.entry.fresh_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Upstream sent a new body, which stays fresh for `fresh_for` seconds."""

    fresh_for: float


def after_response(
    held: Entry | None, *, status: int, headers: Mapping[str, str], now: float, bounds: Bounds
) -> Unchanged | Replaced:
    """Say what upstream's answer makes of *held*. Header names are lower case.

    Raises UpstreamFailed for a 304 where nothing is held that it could confirm.
    """
    if status != 304:
        return Replaced(fresh_for=_clamped(lifetime(headers, now), bounds))
    if held is None:
        raise UpstreamFailed("upstream answered 304 (Not Modified) to an unconditional request")
    # A 304 updates the stored fields that it repeats (RFC 9111 section 3.2); Date and Age
    # describe one message only.
    kept = {name: text for name, text in held.headers.items() if name not in ("age", "date")}
    remaining = lifetime({**kept, **headers}, now)
    entry = replace(
        held,
        headers={name: headers.get(name, text) for name, text in held.headers.items()}
        | {name: headers[name] for name in ("cache-control",) if name in headers},
        validators=_confirmed(held.validators, headers),
        checked_at=now,
        fresh_for=_clamped(remaining, bounds),
    )
    return Unchanged(entry=entry)


def _confirmed(held: Validators, headers: Mapping[str, str]) -> Validators:
    # The ETag that upstream has just recognised stays: some servers repeat it altered (weakened,
    # or with a suffix for the content coding) and would not recognise that one.
    return Validators(
        etag=held.etag or headers.get("etag"),
        last_modified=headers.get("last-modified", held.last_modified),
    )


def _clamped(given: float | None, bounds: Bounds) -> float:
    # The lower bound also lifts no-cache and no-store: a mirror is the operator's own decision
    # to share (0 obeys upstream to the letter).
    wanted = bounds.fresh_default if given is None else given
    return min(max(wanted, bounds.fresh_min), bounds.fresh_max)
