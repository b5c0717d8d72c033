"""Addresses of files in locks: checked when they are read, so that nobody has to do so later."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from proxy.errors import ConfigError


def filename(url: str, where: str) -> str:
    """The name of the file at *url*, which may be a path. Raises ConfigError where it has none."""
    try:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError as error:
        raise ConfigError(f"{where}: {url!r} is no address: {error}") from error
    if not name or not name.isprintable():
        raise ConfigError(f"{where}: {url!r} is not the address of a file")
    return name
