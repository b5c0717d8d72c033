"""`pkgproxy policy …`: policies checked, read aloud and tried out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.cli.options import ConfigOption, JsonOption, refusing, say
from proxy.errors import ConfigError

group = typer.Typer(help="Check, read and try out policies.", no_args_is_help=True)


@group.command("check")
def policy_check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).")],
    as_json: JsonOption = False,
) -> None:
    """Check a policy file and say in words what it does."""
    from proxy.cli import policy  # noqa: PLC0415

    with refusing():
        found = policy.checked(file)
        say(found.values, as_json, found.lines)


@group.command("summary")
def policy_summary(
    name: Annotated[str, typer.Argument(help="Mirror, policy, or policy file.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in words what a policy does, or what holds for a mirror."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        lines = list(policy.summed_up(load(config, os.environ).settings, name))
        say({"summary": lines}, as_json, lines)


@group.command("explain")
def policy_explain(
    mirror: Annotated[str, typer.Argument(help="Mirror, such as conda/main.")],
    package: Annotated[str, typer.Argument(help="Name of a package; * and ? stand for others.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of each file of a package whether it can be had, by which rule, and why."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        settings = load(config, os.environ).settings
        found = policy.explained(settings, mirror, package)
        if as_json:
            typer.echo(policy.as_json(found))
            return
        for line in policy.explanation(found):
            typer.echo(line)
        if not found:
            _fail(f"No index of {mirror} that is here lists {package}.")


@group.command("diff")
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

    with refusing():
        found, looked_at = policy.compared(load(config, os.environ).settings, old, new, mirror)
        if not looked_at:
            _fail(f"No index of {mirror} is here: nothing could be compared.")
        if as_json:
            typer.echo(policy.as_json(found.files))
            return
        for line in policy.changes(found, looked_at, everything=everything):
            typer.echo(line)


@group.command("dependencies")
def policy_dependencies(
    mirror: Annotated[str, typer.Argument(help="Mirror, such as conda/main.")],
    config: ConfigOption = None,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    as_json: JsonOption = False,
) -> None:
    """List all that the mirror's allow-lists keep: directly, or through which package."""
    from proxy.cli import policy  # noqa: PLC0415
    from proxy.config import load  # noqa: PLC0415

    with refusing():
        if form not in ("table", "json", "csv"):
            raise ConfigError(f"--format {form}: write table, json or csv")
        found = policy.dependencies(load(config, os.environ).settings, mirror)
        if not found:
            _fail(f"No index of {mirror} that is here lists what its allow-lists name.")
        typer.echo(policy.report(found, "json" if as_json else form))


def _fail(problem: str) -> NoReturn:
    typer.echo(problem, err=True)
    raise typer.Exit(1)
