"""The one protocol a packaging ecosystem fills in. Everything in it is pure: bytes to bytes.

`classify` runs on the event loop for every request, so it only looks at the path. `render`
runs in another process for large indexes: its arguments and results are plain values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from proxy.core.model import Digest, Index, Resource

ROWS = "rows"
"""The form every index that lists files has: its row table (`proxy.core.rows`), never served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a view depends on besides the index's own bytes. Its digest is part of a view's name.

    `siblings` are the names of the mirrors of the same type that are served here (a channel
    may refer to its siblings by relative links).
    """

    mirror: str
    siblings: frozenset[str] = field(default_factory=frozenset)

    @property
    def digest(self) -> Digest:
        lines = [self.mirror, *sorted(self.siblings)]
        return Digest(hashlib.sha256("\n".join(lines).encode()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An index as upstream sent it.

    `source` is the `Source.path` that answered (so a decoder can be chosen by its ending),
    `media_type` upstream's Content-Type without parameters, `url` what relative links refer to.
    """

    content: bytes | memoryview
    source: str
    media_type: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One form of an index: its name and its bytes in pieces, consumed once and in order."""

    form: str
    chunks: Iterable[bytes | memoryview]


class Ecosystem(Protocol):
    """What the gateway asks of conda, PyPI, CRAN or a plain tree of files."""

    name: str
    recipe: int  # raised whenever the same input would be rendered differently than before

    def classify(self, mirror: str, path: str) -> Resource:
        """Say what *path* (decoded, without leading slash) means in *mirror* (`type/name`).

        Raises UnknownPath for what this type does not have.
        """
        ...

    def canonical(self, path: str) -> str | None:
        """The path to redirect to where *path* is another spelling of it; else None."""
        ...

    def absent_body(self, index: Index) -> bytes | None:
        """What stands for *index* where upstream has none but clients insist on one; else None."""
        ...

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """The names of all forms of *index*, in the groups that are rendered together."""
        ...

    def render(
        self, index: Index, body: Body, context: Context, forms: frozenset[str]
    ) -> Iterator[Rendered]:
        """Make those *forms* (one of `groups`) of *index* from upstream's *body*.

        Raises BadIndex where the body is not such an index; then nothing of it is used.
        """
        ...
