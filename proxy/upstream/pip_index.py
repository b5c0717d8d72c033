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
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.errors import ConfigError

_ASK = "from pypi_simple import PYPI_SIMPLE_ENDPOINT as it; print(it)"
_PATIENCE = 30.0  # seconds for a process that takes 0.3 on an idle machine
_SECTIONS = ("global", "install", "download")


class PipIndex:
    """Found out in the background from the moment it is made."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises ConfigError where pip's own configuration cannot be read."""
        self._found = configured(environ)
        self._asking: subprocess.Popen[str] | None = None
        if self._found is None:
            self._asking = subprocess.Popen(  # noqa: S603 - our own interpreter, a constant text
                [sys.executable, "-c", _ASK],
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
                raise ConfigError('source = "auto": finding the index took too long') from error
            self._found = out.strip() or None
        if self._found is None:
            raise ConfigError('source = "auto": no index was found; write its address instead')
        return self._found


def configured(environ: Mapping[str, str]) -> str | None:
    """What pip's environment and configuration files say; None where they say nothing."""
    given = environ.get("PIP_INDEX_URL")
    if given:
        return given
    found: str | None = None
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f'source = "auto": {path} cannot be read: {error}') from error
        for section in _SECTIONS:
            for key in ("index-url", "index_url"):
                found = parser.get(section, key, fallback=found)
    return found


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """pip's configuration files, later ones overriding: global, user, site, PIP_CONFIG_FILE."""
    given = environ.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if given:
        yield Path(given)
