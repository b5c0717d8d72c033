"""What `check-config` says of a configuration that has no errors."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.advisories.store import places_of, unheard
from proxy.config import Settings
from proxy.config.fitting import ended
from proxy.errors import ConfigError
from proxy.upstream.authfile import AuthFile


def standing(settings: Settings, now: float) -> Iterator[str]:
    """For which mirrors each policy is, which of its rules are over at *now*, and what of all that
    is configured is likely to be a mistake.
    """
    for name, policy in sorted(settings.policies.items()):
        mirrors = [one.key for one in settings.mirrors if one.policy and one.policy.name == name]
        yield f"policy {name}: {', '.join(mirrors) or 'no mirror has it'}"
        yield from ended(policy, now)
    for doubt in (*settings.doubts, *_of_advisories(settings, now), *_of_credentials(settings)):
        yield f"Warning: {doubt}"


def _of_advisories(settings: Settings, now: float) -> Iterator[str]:
    """What of the advisories will not count as it is written."""
    places = places_of(settings.advisories)
    if places is None:
        return
    try:
        yield from unheard(places, now)
    except ConfigError as error:
        yield f"advisories are not known: {error}"


def _of_credentials(settings: Settings) -> Iterator[str]:
    """What of the file of credentials will fail requests: it is read when one needs it."""
    path = settings.auth_file
    if path is None:
        return
    if not path.exists():
        yield f"auth_file: there is no file {path}"
        return
    try:
        AuthFile(path).check()
    except ConfigError as error:
        yield f"auth_file: {error}"
