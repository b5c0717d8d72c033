"""What makes a mirror right: its name, its source, and its place among the others.

Each check returns what is wrong and what to write instead, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from proxy.core.model import Mirror
from proxy.core.urls import redacted

# Path components as CEP 26 has them for channels, which PyPI mirrors and trees can live with.
_COMPONENT = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
# The platforms of conda's clients; CEP 26 allows more, which channels may be called, too.
_SUBDIR = re.compile(
    r"noarch|linux-(32|64|aarch64|armv6l|armv7l|ppc64|ppc64le|riscv32|riscv64|s390x|loongarch64)"
    r"|osx-(64|arm64)|win-(32|64|arm64)|freebsd-64|zos-z|emscripten-wasm32|wasi-wasm32"
)
# What is within a repository of R packages: `contrib.url()` in R adds it.
_CONTRIB = re.compile(
    r"/(src/contrib|bin/(windows|macosx)/.*contrib/[^/]+|PACKAGES(\.\w+)?)(/.*)?$"
)
_CHANNEL_FILES = (".json", ".zst", ".bz2", ".conda")

AUTO = "auto"
"""The source that means the index which pip on this machine is configured for."""


def wrong_name(name: str) -> str | None:
    """About a mirror's *name*."""
    parts = name.split("/")
    if parts[0] == "t":
        return "a name cannot begin with t/, where clients put tokens"
    if all(_COMPONENT.fullmatch(part) for part in parts):
        return None
    return (
        "a name is made of lower-case letters, digits, and . _ - (not at the start), "
        "with slashes between its parts, such as conda-forge or pkgs/main"
    )


def wrong_source(kind: str, source: str) -> str | None:
    """About the *source* of a mirror of type *kind*. Never shows a secret."""
    if source == AUTO:
        return None if kind == "pypi" else f'"auto" is for pypi mirrors; write the {kind} URL'
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        return (
            "this is not a URL; write one such as https://host.example.org/path, "
            "with / : @ ? # in a user name or password as %2F %3A %40 %3F %23"
        )
    if parts.scheme not in ("http", "https") or not host or port == 0 or " " in source:
        return "write a URL that begins with https:// (or http://), and has a host"
    if parts.query or parts.fragment:
        return f"write it without a query and a fragment: {redacted(source).split('?')[0]}"
    if kind == "conda":
        return _wrong_channel(parts.path.rstrip("/"))
    if kind == "cran":
        return _wrong_repository(parts.path.rstrip("/"))
    return None


def _wrong_channel(path: str) -> str | None:
    last = path.rpartition("/")[2]
    if last.endswith(_CHANNEL_FILES):
        return "write the channel's URL, not that of a file in it"
    if _SUBDIR.fullmatch(last):
        return f"write the channel's URL, without /{last} at its end"
    return None


def _wrong_repository(path: str) -> str | None:
    inside = _CONTRIB.search(path)
    if inside is None:
        return None
    return f"write the repository's URL, without {inside[0]} at its end"


def with_slash(source: str) -> str:
    """*source* ending in a slash, so that paths can be joined to it."""
    return source if source == AUTO or source.endswith("/") else f"{source}/"


def wrong_place(mirror: Mirror, others: Iterable[Mirror]) -> str | None:
    """About the address of *mirror*: it must not hide files of another mirror.

    The longest name wins, so that a label's channel may stand beside its channel; but under the
    name of another mirror's folder a mirror would take that folder's place.
    """
    for other in others:
        if not mirror.key.startswith(f"{other.key}/"):
            continue
        folder = mirror.key[len(other.key) + 1 :].split("/")[0]
        if _FOLDERS[other.type](folder):
            return f"/{mirror.key}/ would hide files of the mirror {other.key}; write another name"
    return None


_FOLDERS: Mapping[str, Callable[[str], bool]] = {
    "conda": lambda folder: _SUBDIR.fullmatch(folder) is not None,
    "pypi": lambda folder: folder in ("simple", "packages", "pypi"),
    "cran": lambda folder: folder in ("src", "bin", "web"),
    "files": lambda _: True,  # any folder may be there
}
