"""`pkgproxy token …`: clients' tokens."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from proxy.cli.options import ConfigOption, JsonOption, refusing, say

group = typer.Typer(
    help="Make, list and revoke clients' tokens, also while a server runs.", no_args_is_help=True
)


@group.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="What the token is called in lists and logs.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read (with :<type>/<name>, or all), metrics, admin; may be repeated."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it holds, such as 90d; without: for ever.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, this once; without --scope it may read everything."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        settings = load(config, os.environ).settings
        scopes = scope or ["read"]
        text = token.created(settings, name, scopes, expires)
        say({"name": name, "text": text}, as_json, [text])
        for doubt in token.doubts(settings, scopes):
            typer.echo(f"Warning: {doubt}", err=True)
    typer.echo("Keep it now: it is stored nowhere and cannot be shown again.", err=True)


@group.command("list")
def token_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, without what proves them."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        found = token.listed(load(config, os.environ).settings)
        typer.echo(token.as_json(found) if as_json else token.as_table(found))


@group.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(help="Name of the token.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a token: from now on it is refused."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        token.revoked(load(config, os.environ).settings, name)
        say({"revoked": name}, as_json, [f"revoked {name}"])
