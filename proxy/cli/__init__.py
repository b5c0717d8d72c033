"""The command line. Each command imports what it needs when it is run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from proxy import __version__
from proxy.errors import ConfigError

app = typer.Typer(
    name="pkgproxy",
    help="A local caching proxy with passive mirroring for conda, pip and R.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Look at the configuration.", no_args_is_help=True)
app.add_typer(config, name="config")

BAD_CONFIG = 2
"""Exit status for a configuration or a command line that is wrong."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML)."),
]


def main() -> None:
    """Run the command that the arguments name."""
    app()


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"pkgproxy {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Cache folder.")] = None,
) -> None:
    """Serve until stopped. SIGHUP reloads the configuration."""
    from proxy.app.running import Start, run  # noqa: PLC0415
    from proxy.app.sources import Sources  # noqa: PLC0415
    from proxy.cli.banner import banner  # noqa: PLC0415
    from proxy.config import Settings, load  # noqa: PLC0415

    flags = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "cache.path": str(cache.absolute()) if cache else None,
    }

    def read() -> Settings:
        return Sources(load(config, os.environ, flags).settings, os.environ).definite()

    try:
        settings = read()
    except ConfigError as error:
        _refuse(error)

    def say(address: str) -> None:
        sys.stdout.write(banner(settings.mirrors, address))
        sys.stdout.flush()

    raise typer.Exit(run(Start(settings=settings, reload=read, say=say)))


@app.command()
def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file (TOML).")],
) -> None:
    """Check a configuration file and those of conf.d beside it."""
    from proxy.config import load  # noqa: PLC0415

    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        _refuse(error)
    names = ", ".join(mirror.key for mirror in loaded.settings.mirrors)
    typer.echo(f"{len(loaded.files)} file(s), {len(loaded.settings.mirrors)} mirror(s): {names}")


@config.command()
def show(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every setting with where its value comes from; secrets are left out."""
    from proxy.config import load  # noqa: PLC0415

    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        _refuse(error)
    rows = {
        key: (_shown(key, loaded.values[key]), origin) for key, origin in loaded.origins.items()
    }
    if as_json:
        import json  # noqa: PLC0415

        document = {
            key: {"value": value, "origin": origin} for key, (value, origin) in rows.items()
        }
        typer.echo(json.dumps(document, indent=2))
        return
    width = max(len(key) for key in rows)
    for key, (value, origin) in rows.items():
        typer.echo(f"{key:{width}}  {value}  ({origin})")


@config.command()
def reference() -> None:
    """Print the reference of all settings (docs/configuration.md)."""
    from proxy.config.reference import text  # noqa: PLC0415

    typer.echo(text(), nl=False)


@app.command()
def metrics() -> None:
    """Print the reference of all metrics (docs/metrics.md)."""
    from proxy.observe.reference import text  # noqa: PLC0415

    typer.echo(text(), nl=False)


def _shown(key: str, value: Any) -> Any:
    from proxy.core.urls import redacted  # noqa: PLC0415

    if key.endswith(".source"):
        return redacted(value) if "://" in value else value
    if isinstance(value, frozenset):
        return sorted(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _refuse(error: ConfigError) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(BAD_CONFIG)
