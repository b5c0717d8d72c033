"""A file of a project that was sent as a text: what a server keeps of it for those who read it.

The readers need solvers, which a server is not to import (see `proxy.app.elsewhere`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file's text, and its name, with folders as in the project (`requirements/base.txt`).

    `format`: one of those that `pkgproxy prefetch --format` takes, where the name does not tell.
    """

    name: str
    text: str
    format: str | None = None
