"""`pkgproxy cache statistics`, `search` and `purge`: the cache of a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.mirror import (
    ConfigOption,
    KeyArgument,
    TokenOption,
    UrlOption,
    YesOption,
)
from proxy.cli.options import JsonOption, say

PatternArgument = Annotated[str, typer.Argument(help="Paths within it, with * and ?.")]
PAGE = 1000
"""Paths that are asked for at a time."""


def statistics(
    url: UrlOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a running server's cache holds, by mirror."""
    from proxy.cli.remote import Remote, door, refusing  # noqa: PLC0415

    with refusing():
        found = Remote(door(url, token_file, config)).get("cache")
        lines = [
            f"{mirror}: {one['entries']} entries, {one['bytes']} bytes, {one['absences']} absences"
            for mirror, one in found["mirrors"].items()
        ]
        views = f"rendered indexes: {found['views']}, {found['view_bytes']} bytes"
        say(found, as_json, [*lines, views])


def search(  # noqa: PLR0917 - typer's options
    mirror: KeyArgument,
    pattern: PatternArgument = "*",
    url: UrlOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what a running server's cache has of a mirror."""
    from proxy.cli.remote import Exit, Remote, door, refusing  # noqa: PLC0415

    with refusing():
        remote = Remote(door(url, token_file, config))
        entries = []
        after: str | None = ""
        while after is not None:
            found = remote.get(
                "cache", "entries", mirror=mirror, pattern=pattern, after=after, limit=PAGE
            )
            entries += found["entries"]
            after = found["next"]
        lines = [
            f"{one['path']}  {'no such file' if one['size'] is None else one['size']}"
            for one in entries
        ]
        say(entries, as_json, lines)
        if not entries:
            raise typer.Exit(Exit.MISSING)


def purge(  # noqa: PLR0917 - typer's options
    mirror: KeyArgument,
    pattern: PatternArgument,
    url: UrlOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take out of a running server's cache what matches; it is fetched again when asked for."""
    from proxy.cli.remote import Remote, door, refusing  # noqa: PLC0415

    with refusing():
        remote = Remote(door(url, token_file, config))
        if not yes:
            found = remote.get("cache", "entries", mirror=mirror, pattern=pattern, limit=1)
            typer.confirm(f"Take out {found['matching']} paths?", abort=True, err=True)
        purged = remote.post("cache", "purge", body={"mirror": mirror, "pattern": pattern})
        text = f"{purged['paths']} paths taken out, {purged['bytes']} bytes freed"
        say(purged, as_json, [text])
