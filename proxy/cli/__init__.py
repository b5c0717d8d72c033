"""The command line. Each command imports what it needs when it is run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from proxy import __version__
from proxy.cli.contents import purge, search, statistics
from proxy.cli.mirror import mirror_app
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
cache_app = typer.Typer(
    help="Look after the cache, also while a server runs.", no_args_is_help=True
)
app.add_typer(cache_app, name="cache")

policy_app = typer.Typer(help="Check, read and try out policies.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")
app.add_typer(mirror_app, name="mirror")
for _command in (statistics, search, purge):
    cache_app.command()(_command)

token_app = typer.Typer(
    help="Make, list and revoke clients' tokens, also while a server runs.", no_args_is_help=True
)
app.add_typer(token_app, name="token")

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
        _refuse(error)

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
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
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
        _refuse(error)
    except ProxyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.AWAY) from None
    raise typer.Exit(status)


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
    files, mirrors = len(loaded.files), len(loaded.settings.mirrors)
    typer.echo(f"{_counted(files, 'file')}, {_counted(mirrors, 'mirror')}: {names}")


@config.command()
def show(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every setting with where its value comes from; secrets are masked."""
    from proxy.cli import showing  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        _refuse(error)
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


@cache_app.command("usage")
def cache_usage(config: ConfigOption = None) -> None:
    """Show what the cache holds."""
    from proxy.cli.cache import used  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        for line in used(load(config, os.environ).settings):
            typer.echo(line)


@cache_app.command("sweep")
def cache_sweep(config: ConfigOption = None) -> None:
    """Remove what nothing refers to any more; a server does so once a day."""
    from proxy.cli.cache import swept  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        typer.echo(swept(load(config, os.environ).settings))


@cache_app.command("export")
def cache_export(
    bundle: Annotated[Path, typer.Argument(help="File to write; a broken-off one is continued.")],
    config: ConfigOption = None,
    since: Annotated[
        Path | None, typer.Option(help="Leave out what this earlier bundle brought.")
    ] = None,
) -> None:
    """Write all files and indexes into a bundle for another site; prints its digest."""
    from proxy.cli.cache import exported  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        typer.echo(exported(load(config, os.environ).settings, bundle, since))


@cache_app.command("import")
def cache_import(
    bundle: Annotated[Path, typer.Argument(help="File that cache export has written.")],
    config: ConfigOption = None,
    digest: Annotated[
        str | None, typer.Option(help="Refuse the bundle unless it has this SHA-256.")
    ] = None,
) -> None:
    """Take over what a bundle brings; a damaged one is refused."""
    from proxy.cli.cache import imported  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        wanted = None if digest is None else digest.removeprefix("sha256:").lower()
        typer.echo(imported(load(config, os.environ).settings, bundle, wanted))


@cache_app.command("verify")
def cache_verify(config: ConfigOption = None) -> None:
    """Read all blobs and the catalog through; remove what is damaged and say what that was."""
    from proxy.cli.cache import verified  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        found = verified(load(config, os.environ).settings)
        for line in found.wrong:
            typer.echo(line)
        typer.echo(f"{found.blobs} blobs, {found.size} bytes read; {len(found.wrong)} wrong")
        if found.wrong:
            raise typer.Exit(1)


JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


@policy_app.command("check")
def policy_check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).")],
) -> None:
    """Check a policy file and say in words what it does."""
    from proxy.cli import policy  # noqa: PLC0415

    with _refusing():
        for line in policy.checked(file):
            typer.echo(line)


@policy_app.command("summary")
def policy_summary(
    name: Annotated[str, typer.Argument(help="Mirror, policy, or policy file.")],
    config: ConfigOption = None,
) -> None:
    """Say in words what a policy does, or what holds for a mirror."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        for line in policy.summed_up(load(config, os.environ).settings, name):
            typer.echo(line)


@policy_app.command("explain")
def policy_explain(
    mirror: Annotated[str, typer.Argument(help="Mirror, such as conda/main.")],
    package: Annotated[str, typer.Argument(help="Name of a package.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of each file of a package whether it can be had, by which rule, and why."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        settings = load(config, os.environ).settings
        found = policy.explained(settings, mirror, package)
        if as_json:
            typer.echo(policy.as_json(found))
            return
        for line in policy.explanation(found, policy.mirror_of(settings, mirror).policy):
            typer.echo(line)
        if not found:
            typer.echo(f"No index of {mirror} that is here lists {package}.", err=True)
            raise typer.Exit(1)


@policy_app.command("diff")
def policy_diff(  # noqa: PLR0917 - typer's options
    old: Annotated[str, typer.Argument(help="Policy, policy file, or none.")],
    new: Annotated[str, typer.Argument(help="Policy, policy file, or none.")],
    mirror: Annotated[str, typer.Option("--mirror", "-m", help="Mirror, such as conda/main.")],
    config: ConfigOption = None,
    everything: Annotated[bool, typer.Option("--all", help="List every file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a change of policy would hide and bring back, in the indexes that are here."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        found = policy.compared(load(config, os.environ).settings, old, new, mirror)
        if as_json:
            typer.echo(policy.as_json(found.files))
            return
        for line in policy.changes(found, everything=everything):
            typer.echo(line)


@policy_app.command("dependencies")
def policy_dependencies(
    mirror: Annotated[str, typer.Argument(help="Mirror, such as conda/main.")],
    config: ConfigOption = None,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
) -> None:
    """List all that the mirror's allow-lists keep: directly, or through which package."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        if form not in ("table", "json", "csv"):
            raise ConfigError(f"--format {form}: write table, json or csv")
        found = policy.dependencies(load(config, os.environ).settings, mirror)
        typer.echo(policy.report(found, form))


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="What the token is called in lists and logs.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="read, write (with :<type>/<name>, or all), metrics, admin; may be repeated."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it holds, such as 90d; without: for ever.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token and print it, this once; without --scope it may read everything."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        settings = load(config, os.environ).settings
        typer.echo(token.created(settings, name, scope or ["read"], expires))
    typer.echo("Keep it now: it is stored nowhere and cannot be shown again.", err=True)


@token_app.command("list")
def token_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, without what proves them."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        found = token.listed(load(config, os.environ).settings)
        typer.echo(token.as_json(found) if as_json else token.as_table(found))


@token_app.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(help="Name of the token.")],
    config: ConfigOption = None,
) -> None:
    """Forget a token: from now on it is refused."""
    from proxy.cli import token  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with _refusing():
        token.revoked(load(config, os.environ).settings, name)
        typer.echo(f"revoked {name}")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What is wrong is told without a traceback."""
    try:
        yield
    except ConfigError as error:
        _refuse(error)
    except ProxyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _refuse(error: ConfigError) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(BAD_CONFIG)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
