"""From a file's name and first lines to the reader that understands it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.errors import ConfigError
from proxy.mirror.wanted import (
    conda_locks,
    documents,
    environment,
    pylock,
    renv,
    requirements,
    specs,
    uv_lock,
)
from proxy.mirror.wanted.naming import OPTIONS, Naming
from proxy.mirror.wanted.targets import Targets
from proxy.mirror.wanted.values import Wanted

_NAMING: Mapping[str, Callable[[Path, Path | None], Wanted]] = {
    "environment": environment.read,
    "requirements": requirements.read,
}
"""Formats that may name further files."""

_ALIKE: Mapping[str, Callable[[Path], Wanted]] = {
    "explicit": conda_locks.read_explicit,
    "renv": renv.read,
    "specs": specs.read,
}
"""Formats that say the same for every target."""

_BY_TARGET: Mapping[str, Callable[[Path, Targets], Wanted]] = {
    "pylock": pylock.read,
    "uv": uv_lock.read,
    "conda-lock": conda_locks.read_conda_lock,
    "pixi": conda_locks.read_pixi_lock,
}

FORMATS = (*_NAMING, *_ALIKE, *_BY_TARGET)

_NAMES = (
    ("pylock.toml", "pylock"),
    ("pylock.*.toml", "pylock"),
    ("uv.lock", "uv"),
    ("pixi.lock", "pixi"),
    ("renv.lock", "renv"),
    ("*conda-lock.y*ml", "conda-lock"),
    ("*.y*ml", "environment"),
    ("*.specs", "specs"),
    ("*.txt", "requirements"),
    ("*.in", "requirements"),
)


def read(
    path: Path, targets: Targets, *, form: str | None = None, within: Path | None = None
) -> Wanted:
    """What *path* asks for; *form* is one of `FORMATS` where its name does not tell.

    Files that it names are read wherever they are, or only *within* that folder.

    Raises ConfigError.
    """
    if form is None:
        form = told(path, targets.naming)
    elif form not in FORMATS:
        raise ConfigError(f"there is no format {form!r}; write one of {', '.join(FORMATS)}")
    if form in _NAMING:
        return _NAMING[form](path, within)
    if form in _ALIKE:
        return _ALIKE[form](path)
    return _BY_TARGET[form](path, targets)


def told(path: Path, naming: Naming = OPTIONS) -> str:
    """The format that the file's name and its first lines tell. Raises ConfigError."""
    found = next((form for name, form in _NAMES if fnmatch.fnmatch(path.name, name)), None)
    if found in ("requirements", None) and _is_explicit(path):
        return "explicit"
    if found is None:
        raise ConfigError(
            f"{path}: its name does not tell its format; write {naming.form} with one of "
            + ", ".join(FORMATS)
        )
    return found


def _is_explicit(path: Path) -> bool:
    return any(line.strip() == conda_locks.EXPLICIT for line in documents.text(path).splitlines())
