"""What makes a mirror's table right: names, sources, and no two of the same address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from proxy.core.urls import redacted

# Path components as CEP 26 has them for channels, which PyPI mirrors and trees can live with.
_COMPONENT = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_SUBDIR = re.compile(r"/(noarch|(linux|osx|win|zos|freebsd|emscripten|wasi)-[a-z0-9_]+)/?$")

AUTO = "auto"
"""The source that means the index which pip on this machine is configured for."""


def wrong_name(name: str) -> str | None:
    """What is wrong with a mirror's *name*, and what to write; None if nothing is."""
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
    """What is wrong with a *source* of a mirror of type *kind*; None if nothing is."""
    if source == AUTO:
        return None if kind == "pypi" else f'"auto" is for pypi mirrors; write the {kind} URL'
    try:
        parts = urlsplit(source)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is not a URL; write one such as https://host.example.org/path"
    if parts.scheme not in ("http", "https") or not host:
        return "write a URL that begins with https:// (or http://), and has a host"
    if parts.query or parts.fragment:
        return f"write it without a query and a fragment: {redacted(source).split('?')[0]}"
    if kind == "conda":
        if parts.path.endswith((".json", ".zst", ".bz2")):
            return "write the channel's URL, not that of a file in it"
        if _SUBDIR.search(parts.path):
            return "write the channel's URL, without the subdir at its end"
    return None


def normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """*values* with a source that ends in a slash, so that paths can be joined to it."""
    source = values["source"]
    if source != AUTO and not source.endswith("/"):
        source += "/"
    return {**values, "source": source}
