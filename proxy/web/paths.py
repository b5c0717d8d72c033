"""From a URL's path to a mirror and the path within it.

Mirrors are served under `/<type>/<name>/`; names may contain slashes, and the longest name that
fits wins, so `conda-forge/label/rc` may stand beside `conda-forge`. conda puts a token in front
of the path or behind the type (`/t/<TOKEN>/conda/…`, `/conda/t/<TOKEN>/…`); it is taken off, and
goes nowhere but to whoever decides about access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proxy.core.model import Mirror
from proxy.errors import UnknownMirror


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request path, split. `mirror` None: there is none; `token` None: none was sent."""

    mirror: Mirror | None
    path: str
    token: str | None = field(repr=False)
    shown: str  # the whole path, without a token

    def unknown(self) -> UnknownMirror:
        """What to say where the mirror is not there, or is not for the client to see."""
        name = "/".join(self.shown.lstrip("/").split("/")[:2])
        return UnknownMirror(f"no mirror is served at /{name}; GET / lists those that are")


class Mirrors:
    """The mirrors that are served, by path."""

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        self._by_key = {mirror.key: mirror for mirror in mirrors}
        self._types = {mirror.type for mirror in self._by_key.values()}
        self._longest = max((key.count("/") for key in self._by_key), default=0)

    def __iter__(self) -> Iterator[Mirror]:
        return iter(self._by_key.values())

    def get(self, key: str) -> Mirror | None:
        """The mirror of that key (`type/name`)."""
        return self._by_key.get(key)

    def find(self, path: str) -> Asked:
        """Split a decoded URL path."""
        segments = path.lstrip("/").split("/")
        token = None
        if len(segments) > 1 and segments[0] == "t":
            token, segments = segments[1], segments[2:]
        elif len(segments) > 2 and segments[0] in self._types and segments[1] == "t":
            token, segments = segments[2], [segments[0], *segments[3:]]
        shown = "/" + "/".join(segments)
        for count in range(min(self._longest + 1, len(segments)), 1, -1):
            mirror = self._by_key.get("/".join(segments[:count]))
            if mirror is not None:
                within = "/".join(segments[count:])
                return Asked(mirror=mirror, path=within, token=token, shown=shown)
        return Asked(mirror=None, path="", token=token, shown=shown)
