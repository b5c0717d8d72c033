"""The index that pip on this machine is configured for: the source `auto` of a pypi mirror.

Looked for as pip does: PIP_INDEX_URL, then `index-url` in its configuration files, the most
specific last. Without any it is the public index, whose address is the constant of the
pypi-simple library: it is asked for in a process of its own, because importing the library costs
a quarter of a second and 20 MB that a server would keep.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from proxy.errors import ConfigError

_ASK = "from pypi_simple import PYPI_SIMPLE_ENDPOINT as it; print(it)"
_COMMAND = (sys.executable, "-P", "-c", _ASK)  # -P: the working folder holds no libraries
_PATIENCE = 30.0  # seconds for a process that takes 0.3 on an idle machine
_SECTIONS = ("install", "download", "global")  # the first that says something


class PipIndex:
    """Found out in the background from the moment it is made."""

    def __init__(self, environ: Mapping[str, str], *, command: Sequence[str] = _COMMAND) -> None:
        """Raises ConfigError where pip's own configuration cannot be read.

        *command* prints the public index's address; it is run only if that is needed.
        """
        self._found = configured(environ)
        self._asking: subprocess.Popen[str] | None = None
        if self._found is None:
            self._asking = subprocess.Popen(  # noqa: S603 - our own interpreter, a constant text
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def result(self) -> str:
        """The index's address. Raises ConfigError where it cannot be found out."""
        if self._found is None and self._asking is not None:
            try:
                out, _ = self._asking.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired as error:
                self._asking.kill()
                self._asking.communicate()
                raise ConfigError('source = "auto": finding the index took too long') from error
            self._found = out.strip() or None
        if self._found is None:
            raise ConfigError('source = "auto": no index was found; write its address instead')
        return self._found


def configured(
    environ: Mapping[str, str], *, machine: Path = Path("/etc"), prefix: Path = Path(sys.prefix)
) -> str | None:
    """What pip's environment and configuration files say; None where they say nothing.

    *machine* and *prefix* are the folders of the machine's own file and of the virtual
    environment's. Raises ConfigError, which quotes no line: it may hold a password.
    """
    given = environ.get("PIP_INDEX_URL")
    if given:
        return given
    said: dict[str, str] = {}
    for path in _files(environ, machine, prefix):
        parser = _parsed(path)
        for section in _SECTIONS:
            for key in ("index-url", "index_url"):
                value = parser.get(section, key, fallback=None)
                if value is not None:
                    said[section] = value
    # A section beats another whichever files they are in; an empty value says nothing.
    return next((said[section] for section in _SECTIONS if said.get(section)), None)


def _parsed(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        pass  # most of them are not there
    except OSError as error:
        raise ConfigError(f'source = "auto": {path} cannot be read: {error.strerror}') from error
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else f"{path}"
        raise ConfigError(f'source = "auto": {where}: not of the format of pip.conf') from None
    return parser


def _files(environ: Mapping[str, str], machine: Path, prefix: Path) -> Iterator[Path]:
    """pip's configuration files, later ones overriding: global, user, site, PIP_CONFIG_FILE."""
    given = environ.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
        yield Path(folder) / "pip" / "pip.conf"
    yield machine / "pip.conf"
    if not (given and Path(given).exists()):  # pip reads it instead of the user's
        yield home / ".pip" / "pip.conf"
        yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield prefix / "pip.conf"
    if given:
        yield Path(given)
