"""Where things are found on the server: mirrors for types, channels and addresses elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from proxy.core.urls import redacted
from proxy.errors import ConfigError
from proxy.mirror.wanted.naming import OPTIONS, Naming
from proxy.upstream.served import Served

_DEFAULTS = ("main", "r", "msys2")
"""The mirrors that `defaults` means, as far as they are served; msys2 is for Windows."""

_ALIAS = "https://conda.anaconda.org/"
"""Where clients look for a channel that is given by its name only."""


class Places:
    """The mirrors of a server, and those of them that were chosen."""

    def __init__(
        self, served: Iterable[Served], chosen: Iterable[str] = (), naming: Naming = OPTIONS
    ) -> None:
        """*chosen* are `type/name`, or names. Raises ConfigError where one is not served."""
        self._naming = naming
        self._served = tuple(served)
        self._chosen = tuple(one for name in chosen for one in self._named(name))

    def of_type(self, kind: str) -> Served:
        """The mirror for what names none itself. Raises ConfigError where that is not clear."""
        chosen = [one for one in self._chosen if one.type == kind]
        found = chosen or [one for one in self._served if one.type == kind]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ConfigError(f"the server has no mirror of type {kind}; it has {self._listed()}")
        keys = ", ".join(one.key for one in found)
        choose = f"write {self._naming.mirror} with one of {keys}"
        raise ConfigError(f"several mirrors are of type {kind}: {choose}")

    def channels(self, names: Sequence[str]) -> list[Served]:
        """The mirrors for an environment's channels, in their order. Raises ConfigError.

        Those that were chosen stand in for all of them.
        """
        chosen = [one for one in self._chosen if one.type == "conda"]
        if chosen:
            return chosen
        if not names:
            return [self.of_type("conda")]
        found = [mirror for name in names for mirror in self._channel(name)]
        return list(dict.fromkeys(found))

    def of_url(self, kind: str, url: str) -> str | None:
        """Where the server has the file that is elsewhere at *url*; None: in no mirror of it.

        A mirror's source is the start of its files' addresses; where none is, a channel's name
        at the end of the address's folder decides.
        """
        known = redacted(url)
        sources = [
            (len(one.source), one)
            for one in self._served
            if one.type == kind and known.startswith(one.source.rstrip("/") + "/")
        ]
        if sources:
            _, mirror = max(sources, key=lambda pair: pair[0])
            return mirror.url + known[len(mirror.source.rstrip("/")) + 1 :]
        if kind != "conda":
            return None
        return self._by_channel(known)

    def _by_channel(self, url: str) -> str | None:
        """By the last parts of the path, as in `…/conda-forge/linux-64/name-1.0-0.conda`."""
        parts = urlsplit(url).path.strip("/").split("/")
        if len(parts) < 3:
            return None
        folder, rest = "/" + "/".join(parts[:-2]), "/".join(parts[-2:])
        fitting = [one for one in self._served if one.type == "conda"]
        fitting = [one for one in fitting if folder.endswith(f"/{one.name}")]
        return max(fitting, key=lambda one: len(one.name)).url + rest if fitting else None

    def _channel(self, name: str) -> list[Served]:
        conda = [one for one in self._served if one.type == "conda"]
        if "://" in name:
            source = redacted(name).rstrip("/")
            found = [
                one for one in conda if source in (one.source.rstrip("/"), one.url.rstrip("/"))
            ]
        elif name == "defaults":
            found = [one for default in _DEFAULTS for one in conda if one.name == default]
        else:
            found = [one for one in conda if one.name == name]
            source = f"{_ALIAS}{name}"
            found = found or [one for one in conda if one.source.rstrip("/") == source]
        if not found:
            keys = ", ".join(one.key for one in conda) or "none"
            raise ConfigError(
                f"no mirror has the channel {redacted(name)}; the server's are {keys}: "
                f"write {self._naming.mirror} with one of them"
            )
        return found if name == "defaults" else found[:1]

    def _named(self, name: str) -> list[Served]:
        found = [one for one in self._served if name in (one.key, one.name)]
        if not found:
            raise ConfigError(f"{self._naming.mirror} {name}: the server has {self._listed()}")
        return found

    def _listed(self) -> str:
        return ", ".join(one.key for one in self._served) or "none that it shows"
