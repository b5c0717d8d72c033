"""The command line. Each command imports what it needs when it is run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy import __version__
from proxy.cli import cache_group, policy_group, token_group
from proxy.cli.mirror import mirror_app
from proxy.cli.options import ConfigOption, JsonOption, refuse
from proxy.errors import ConfigError, ProxyError

if TYPE_CHECKING:  # a command imports what it needs when it is run
    from proxy.config import Settings

app = typer.Typer(
    name="pkgproxy",
    help="A local caching proxy with passive mirroring for conda, pip and R.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Look at the configuration.", no_args_is_help=True)
app.add_typer(config, name="config")
for _name, _group in (
    ("cache", cache_group.group),
    ("policy", policy_group.group),
    ("mirror", mirror_app),
    ("token", token_group.group),
):
    app.add_typer(_group, name=_name)


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
def serve(  # noqa: PLR0917 - typer's options
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Cache folder.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never go upstream.")] = False,
) -> None:
    """Serve until stopped. SIGHUP reloads the configuration."""
    from proxy.app.running import Start, run  # noqa: PLC0415
    from proxy.app.sources import Sources  # noqa: PLC0415
    from proxy.cli.banner import banner  # noqa: PLC0415
    from proxy.config import Flag, load  # noqa: PLC0415

    flags = {
        "server.host": Flag(option="--host", value=host),
        "server.port": Flag(option="--port", value=port),
        "server.workers": Flag(option="--workers", value=workers),
        "cache.path": Flag(option="--cache", value=str(cache.absolute()) if cache else None),
        "offline": Flag(option="--offline", value=offline or None),
    }

    def read(made: str | None = None) -> Settings:
        settings = load(config, os.environ, flags, made=made).settings
        return Sources(settings, os.environ).definite()

    try:
        settings = read()
    except ConfigError as error:
        refuse(error)

    def say(address: str) -> None:
        sys.stdout.write(banner(settings.mirrors, address, settings.admin.shown))
        sys.stdout.flush()

    raise typer.Exit(run(Start(settings=settings, reload=read, say=say)))


@app.command()
def prefetch(  # noqa: PLR0917 - typer's options
    files: Annotated[
        list[Path],
        typer.Argument(help="environment.yml, requirements.txt, a lock, or a list of specs."),
    ],
    url: Annotated[
        str, typer.Option(help="The running server.", envvar="PKGPROXY_URL")
    ] = "http://127.0.0.1:8080",
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", "-m", help="Mirror to take from, such as conda/main; repeatable."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", "-p", help="Platform, such as linux-64; repeatable."),
    ] = None,
    python: Annotated[
        list[str] | None, typer.Option(help="Version of Python, such as 3.12; repeatable.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="Of the files, where their names don't tell it.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files at the same time.")] = 8,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token of the server's.", envvar="PKGPROXY_TOKEN_FILE"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what is needed.")] = False,
    as_specs: Annotated[
        bool, typer.Option("--specs", help="Only print it as the specs of active mirrors.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have a running server fetch all that projects need, with their dependencies.

    Exit status: 0 all of it is there, 1 some could not be had, 2 a file or an option is wrong, 3
    the server does not answer, or wants a token.
    """
    from proxy.cli.prefetch import run  # noqa: PLC0415
    from proxy.cli.prefetch_telling import Order  # noqa: PLC0415
    from proxy.cli.remote import Exit, token_in  # noqa: PLC0415

    try:
        order = Order(
            files=tuple(files),
            url=url,
            mirrors=tuple(mirror or ()),
            platforms=tuple(platform or ()),
            pythons=tuple(python or ()),
            form=form,
            jobs=jobs,
            token=None if token_file is None else token_in(token_file),
            as_json=as_json,
            dry_run=dry_run,
            as_specs=as_specs,
        )
        status = run(order)
    except ConfigError as error:
        refuse(error)
    except ProxyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.AWAY) from None
    raise typer.Exit(status)


@app.command()
def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file (TOML).")],
) -> None:
    """Check a configuration file, those of conf.d beside it, and the policies."""
    from proxy.cli.standing import standing  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        refuse(error)
    names = ", ".join(mirror.key for mirror in loaded.settings.mirrors)
    files, mirrors = len(loaded.files), len(loaded.settings.mirrors)
    typer.echo(f"{_counted(files, 'file')}, {_counted(mirrors, 'mirror')}: {names}")
    for line in standing(loaded.settings, time.time()):
        typer.echo(line)


@config.command()
def show(
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting with where its value comes from; secrets are masked."""
    from proxy.cli import showing  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        refuse(error)
    typer.echo(showing.as_json(loaded) if as_json else showing.as_toml(loaded))


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


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
