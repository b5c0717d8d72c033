"""`pkgproxy mirror …`: the mirrors of a running server, and their runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli.options import JsonOption, say

if TYPE_CHECKING:  # a command imports what it needs when it is run
    from proxy.cli.remote import Remote

mirror_app = typer.Typer(
    help="The mirrors of a running server, and their runs.", no_args_is_help=True
)

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="The administration: http://host:port or unix:/path."),
]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the administration's token.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The server's configuration, whose admin table says it."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
KeyArgument = Annotated[str, typer.Argument(help="Mirror, such as conda/main.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A key of its table, as TOML: newest=3, specs=['numpy']."),
]


@mirror_app.callback()
def _where(
    context: typer.Context,
    url: UrlOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
) -> None:
    """Where the server is."""
    context.obj = (url, token_file, config)


@mirror_app.command("list")
def list_mirrors(context: typer.Context, as_json: JsonOption = False) -> None:
    """List all mirrors, and how they stand."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import listed  # noqa: PLC0415

    with refusing():
        found = _remote(context).get("mirrors")
        say(found, as_json, listed(found))


@mirror_app.command()
def show(context: typer.Context, mirror: KeyArgument, as_json: JsonOption = False) -> None:
    """Show a mirror with its settings and its last runs."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import shown  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        status, runs = remote.get("mirrors", mirror), remote.get("mirrors", mirror, "runs")
        say({**status, "runs": runs}, as_json, shown(status, runs))


@mirror_app.command()
def create(
    context: typer.Context,
    mirror: KeyArgument,
    source: Annotated[str, typer.Argument(help="Upstream's URL.")],
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a mirror, and serve it at once; --set mode=active has it fetch ahead."""
    from proxy.cli.remote import refusing, split  # noqa: PLC0415
    from proxy.cli.runs import doubtful  # noqa: PLC0415

    with refusing():
        kind, name = split(mirror)
        values = {"type": kind, "name": name, "source": source, **_values(settings)}
        made = _remote(context).post("mirrors", body=values)
        say(made, as_json, [f"{made['definition']['key']} is made.", *doubtful(made)])


@mirror_app.command()
def edit(
    context: typer.Context,
    mirror: KeyArgument,
    settings: SetOption = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", help="A key that is to be as usual again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a mirror that was made at run time."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import doubtful  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        before = remote.get("mirrors", mirror)["definition"]["values"]
        kept = {name: it for name, it in before.items() if name not in (unset or ())}
        made = remote.put("mirrors", mirror, body={**kept, **_values(settings)})
        say(made, as_json, [f"{mirror} is changed.", *doubtful(made)])


@mirror_app.command()
def run(
    context: typer.Context,
    mirror: KeyArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Begin a run now; with --wait show its progress, and fail where it fails."""
    from proxy.cli.remote import refusing  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        begun = remote.post("mirrors", mirror, "run")
        if not wait:
            say(begun, as_json, [f"Run {begun['id']} of {mirror} is {begun['state']}."])
            return
        _followed(remote, mirror, begun["id"], as_json=as_json)


@mirror_app.command()
def watch(context: typer.Context, mirror: KeyArgument, as_json: JsonOption = False) -> None:
    """Show the progress of the run that goes on, whoever began it; fail where it fails."""
    from proxy.cli.remote import refusing  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        _followed(remote, mirror, _last_run(remote, mirror), as_json=as_json)


@mirror_app.command()
def stop(context: typer.Context, mirror: KeyArgument, as_json: JsonOption = False) -> None:
    """Stop the run that goes on; what was fetched stays."""
    _changed(context, mirror, "stop", "The run of {} is being stopped.", as_json=as_json)


@mirror_app.command()
def freeze(context: typer.Context, mirror: KeyArgument, as_json: JsonOption = False) -> None:
    """Let clients see each index as it is now, until it is unfrozen."""
    _changed(context, mirror, "freeze", "{} is frozen.", as_json=as_json)


@mirror_app.command()
def unfreeze(
    context: typer.Context, mirror: KeyArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Let clients see what upstream has again; says first what will change."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import differing  # noqa: PLC0415

    if not yes:
        with refusing():
            for line in differing(_remote(context).get("mirrors", mirror, "difference")):
                typer.echo(line, err=True)
        typer.confirm("Unfreeze it?", abort=True, err=True)
    _changed(context, mirror, "unfreeze", "{} is no longer frozen.", as_json=as_json)


@mirror_app.command()
def difference(context: typer.Context, mirror: KeyArgument, as_json: JsonOption = False) -> None:
    """Say what unfreezing would change."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import differing  # noqa: PLC0415

    with refusing():
        found = _remote(context).get("mirrors", mirror, "difference")
        say(found, as_json, differing(found))


@mirror_app.command()
def delete(
    context: typer.Context, mirror: KeyArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Forget a mirror that was made at run time; its files are left to the cache's limits."""
    from proxy.cli.remote import refusing  # noqa: PLC0415

    if not yes:
        typer.confirm(f"Delete {mirror}?", abort=True, err=True)
    with refusing():
        _remote(context).delete("mirrors", mirror)
        say({"deleted": mirror}, as_json, [f"{mirror} is deleted."])


@mirror_app.command()
def report(
    context: typer.Context,
    mirror: KeyArgument,
    run_id: Annotated[
        str | None, typer.Option("--run", help="A run; else the last one, and dependencies.")
    ] = None,
    dependencies: Annotated[
        bool, typer.Option("--dependencies", help="What is kept because others need it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a run fetched and what it left out, and why."""
    from proxy.cli.remote import refusing  # noqa: PLC0415
    from proxy.cli.runs import finished, needed  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        if dependencies:
            found = remote.get("mirrors", mirror, "report")
            say(found, as_json, needed(found))
            return
        found = remote.get("mirrors", mirror, "runs", run_id or _last_run(remote, mirror))
        say(found, as_json, finished(found))


@mirror_app.command()
def export(
    context: typer.Context,
    mirrors: Annotated[list[str] | None, typer.Argument(help="Mirrors; else all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print mirrors as they would stand in a configuration file, without secrets."""
    from proxy.cli.remote import refusing  # noqa: PLC0415

    with refusing():
        remote = _remote(context)
        wanted = mirrors or (None,)
        text = "\n".join(remote.get("export", mirror=one)["toml"] for one in wanted)
        if as_json:
            typer.echo(json.dumps({"toml": text}, indent=2))
            return
        typer.echo(text, nl=False)


def _remote(context: typer.Context) -> Remote:
    """Raises ConfigError."""
    from proxy.cli.remote import Remote, door  # noqa: PLC0415

    return Remote(door(*context.obj))


def _changed(context: typer.Context, mirror: str, action: str, text: str, *, as_json: bool) -> None:
    from proxy.cli.remote import refusing  # noqa: PLC0415

    with refusing():
        found = _remote(context).post("mirrors", mirror, action)
        say(found, as_json, [text.format(mirror)])


def _last_run(remote: Remote, mirror: str) -> str:
    """Raises RemoteError where there is none."""
    from proxy.cli.remote import Exit, RemoteError  # noqa: PLC0415

    runs = remote.get("mirrors", mirror, "runs")
    if not runs:
        raise RemoteError(f"{mirror} has not been run yet", Exit.MISSING)
    return str(runs[0]["id"])


def _followed(remote: Remote, mirror: str, run_id: str, *, as_json: bool) -> None:
    """Show a run until it is over, then what came of it; raises Exit where it failed."""
    from proxy.cli.remote import Exit  # noqa: PLC0415
    from proxy.cli.runs import finished, follow  # noqa: PLC0415

    details = follow(remote, mirror, run_id, is_silent=as_json)
    say(details, as_json, finished(details))
    if details["run"]["state"] != "completed":
        raise typer.Exit(Exit.FAILED)


def _values(settings: list[str] | None) -> dict[str, Any]:
    """What `--set` options say. Raises ConfigError."""
    from proxy.cli.remote import assigned  # noqa: PLC0415

    return dict(assigned(one) for one in settings or ())
