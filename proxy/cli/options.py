"""What commands share: options, exit statuses, and how they say that something is wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from proxy.errors import ConfigError, ProxyError

BAD_CONFIG = 2
"""Exit status for a configuration or a command line that is wrong."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


def say(found: Any, as_json: bool, lines: Iterable[str]) -> None:
    """Print *found* for programs, or *lines* for people."""
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in lines:
        typer.echo(line)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What is wrong is told without a traceback."""
    try:
        yield
    except ConfigError as error:
        refuse(error)
    except ProxyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def refuse(error: ConfigError) -> NoReturn:
    """Say it and end the command."""
    typer.echo(str(error), err=True)
    raise typer.Exit(BAD_CONFIG)
