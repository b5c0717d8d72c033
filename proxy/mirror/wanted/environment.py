"""`environment.yml`: the file that `conda env create` and micromamba read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rattler import MatchSpec
from rattler.exceptions import InvalidMatchSpecError

from proxy.errors import ConfigError
from proxy.mirror.wanted import documents, requirements
from proxy.mirror.wanted.documents import Table
from proxy.mirror.wanted.values import Environment, Wanted


def read(path: Path, within: Path | None = None) -> Wanted:
    """The environment that *path* describes; files that it names must lie *within* that folder.

    Raises ConfigError.
    """
    table = documents.yaml_table(path)
    if "dependencies" not in table:
        raise ConfigError(f"{path}: has no dependencies: that is no environment")
    specs = tuple(_specs(table))
    asked = requirements.of_lines(_pip(table), path, within)
    wanted = Environment(
        where=str(path),
        specs=specs,
        channels=tuple(one for one in table.texts("channels") if one != "nodefaults"),
        requirements=asked.requirements,
    )
    return Wanted(items=(wanted, *asked.beyond), notes=asked.notes)


def _specs(table: Table) -> Iterator[str]:
    for number, value in enumerate(table.listed("dependencies")):
        where = f"{table.at('dependencies')}[{number}]"
        match value:
            case str():
                yield checked(value, where)
            case {"pip": list()} if len(value) == 1:
                pass  # read by `_pip`
            case _:
                raise ConfigError(f"{where}: write a spec, or pip: and a list of requirements")


def checked(spec: str, where: str) -> str:
    """*spec* where conda understands it. Raises ConfigError."""
    try:
        MatchSpec(spec, strict=False)
    except InvalidMatchSpecError as error:
        raise ConfigError(f"{where}: {spec!r} is no spec of conda's: {error}") from error
    return spec


def _pip(table: Table) -> Iterator[tuple[str, str]]:
    """The lines of requirements, each with where it stands."""
    for number, value in enumerate(table.listed("dependencies")):
        if not isinstance(value, dict):
            continue
        for line, text in enumerate(value["pip"]):
            where = f"{table.at('dependencies')}[{number}].pip[{line}]"
            if not isinstance(text, str):
                raise ConfigError(f"{where}: write a requirement, such as requests>=2")
            yield where, text
