"""`pkgproxy cache …`: the cache on disk, and by `contents` that of a running server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.contents import purge, search, statistics
from proxy.cli.options import ConfigOption, JsonOption, refusing, say

group = typer.Typer(help="Look after the cache, also while a server runs.", no_args_is_help=True)

for _command in (statistics, search, purge):
    group.command()(_command)


@group.command("usage")
def cache_usage(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what the cache holds."""
    from proxy.cli.cache import used  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        found = used(load(config, os.environ).settings)
        say(found.values, as_json, found.lines)


@group.command("sweep")
def cache_sweep(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Remove what nothing refers to any more; a server does so every hour."""
    from proxy.cli.cache import swept  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        found = swept(load(config, os.environ).settings)
        say(found.values, as_json, found.lines)


@group.command("export")
def cache_export(
    bundle: Annotated[Path, typer.Argument(help="File to write; a broken-off one is continued.")],
    config: ConfigOption = None,
    since: Annotated[
        Path | None, typer.Option(help="Leave out what this earlier bundle brought.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write all files and indexes into a bundle for another site; prints its digest."""
    from proxy.cli.cache import exported  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        found = exported(load(config, os.environ).settings, bundle, since)
        say(found.values, as_json, found.lines)


@group.command("import")
def cache_import(
    bundle: Annotated[Path, typer.Argument(help="File that cache export has written.")],
    config: ConfigOption = None,
    digest: Annotated[
        str | None, typer.Option(help="Refuse the bundle unless it has this SHA-256.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take over what a bundle brings; a damaged one is refused."""
    from proxy.cli.cache import imported  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        wanted = None if digest is None else digest.removeprefix("sha256:").lower()
        found = imported(load(config, os.environ).settings, bundle, wanted)
        say(found.values, as_json, found.lines)


@group.command("verify")
def cache_verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read all blobs and the catalog through; remove what is damaged and say what that was."""
    from proxy.cli.cache import verified  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        found = verified(load(config, os.environ).settings)
        values = {"blobs": found.blobs, "bytes": found.size, "wrong": found.wrong}
        summed = f"{found.blobs} blobs, {found.size} bytes read; {len(found.wrong)} wrong"
        say(values, as_json, [*found.wrong, summed])
        if found.wrong:
            raise typer.Exit(1)
