"""A list of specs for any types of mirrors, one on a line: `conda: numpy >=2`, `pypi: requests`,
`cran: dplyr`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from proxy.ecosystems.cran.versions import Spec
from proxy.errors import ConfigError
from proxy.mirror.wanted import documents, environment, requirements
from proxy.mirror.wanted.values import Environment, RPackage, Wanted

_LINE = re.compile(r"(?P<type>conda|pypi|cran):\s*(?P<spec>\S.*)")


def read(path: Path) -> Wanted:
    """All conda specs of *path* make one environment, all requirements one set.

    Raises ConfigError.
    """
    found = list(_read(path))
    conda = tuple(environment.checked(spec, at) for kind, spec, at in found if kind == "conda")
    asked = requirements.of_lines(((at, spec) for kind, spec, at in found if kind == "pypi"), path)
    return Wanted(
        items=(
            *([Environment(where=str(path), specs=conda)] if conda else []),
            *(_r_package(spec, at) for kind, spec, at in found if kind == "cran"),
            *asked.items,
        ),
        notes=asked.notes,
    )


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, text in enumerate(documents.text(path).splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", text).strip()
        if not line:
            continue
        where = f"{path}, line {number}"
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{where}: {line!r}: write conda:, pypi: or cran: and a spec")
        yield match["type"], match["spec"], where


def _r_package(spec: str, where: str) -> RPackage:
    try:
        Spec.of(spec)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return RPackage(where=where, spec=spec)
