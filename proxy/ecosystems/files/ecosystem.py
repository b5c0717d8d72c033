"""A static tree of files: nothing is known of them, so HTTP's own rules decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from proxy.core.active import Scope
from proxy.core.model import Index, Plain, Resource, Source
from proxy.core.policy import Leaf
from proxy.ecosystems.base import Advised, Body, Context, Judged, Rendered
from proxy.ecosystems.paths import checked
from proxy.errors import BadIndex

FORWARDED = ("accept", "accept-language", "user-agent")
"""Request headers that servers of files choose a variant by."""


class Files:
    """See `proxy.ecosystems.base.Ecosystem`."""

    name = "files"
    recipe = 1

    def classify(self, mirror: str, path: str) -> Resource:
        """Every path is a file."""
        path = checked(path)
        return Plain(mirror=mirror, path=path, source=Source(path=path), forward=FORWARDED)

    def canonical(self, path: str) -> str | None:
        """A file's path is its only spelling."""
        return None

    def absent_body(self, index: Index) -> bytes | None:
        """There are no indexes."""
        return None

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """There are no indexes."""
        return ()

    def render(
        self, index: Index, body: Body, context: Context, forms: frozenset[str]
    ) -> Iterator[Rendered]:
        """Raises BadIndex: there are no indexes."""
        raise BadIndex(f"a mirror of files has no index such as {index.path}")

    def wrong(self, leaf: Leaf) -> str | None:
        """No condition is right here."""
        return "a tree of files has no index to judge its files by"

    def doubtful(self, leaf: Leaf) -> str | None:
        """All of it is wrong."""
        return None

    def judged(self, index: Index, body: Body, context: Context) -> Iterator[Judged]:
        """There are no indexes."""
        yield from ()

    def undated(self, index: Index, body: Body) -> Iterator[tuple[bytes, float | None]]:
        """There are no indexes."""
        yield from ()

    def decided_by(self, index: Index) -> Index | None:
        """There are no indexes."""
        return None

    def sums_up(self, index: Index) -> Callable[[str], bool] | None:
        """There are no indexes."""
        return None

    def supplement(self, index: Index) -> Index | None:
        """Indexes have no parts."""
        return None

    def companions(self, index: Index, known: Iterable[str]) -> tuple[str, ...]:
        """No dependencies are listed."""
        return ()

    def closed(
        self, index: Index, listed: Sequence[tuple[Index, Body]], specs: Iterable[Sequence[str]]
    ) -> bytes:
        """No dependencies are listed."""
        return b""

    def listed(self, member: bytes) -> Iterator[str]:
        """Indexes have no parts."""
        yield from ()

    def advised(self, index: Index) -> Advised | None:
        """Nothing is known of the files."""
        return None

    def begins(self, mirror: str, scope: Scope) -> tuple[Index, ...]:
        """There are no indexes."""
        return ()

    def leads(self, index: Index, body: Body) -> Iterator[Index]:
        """There are no indexes."""
        yield from ()

    def path(self, index: Index, row: str) -> str:
        """There are no indexes."""
        return row

    def companions_of(self, row: str) -> tuple[str, ...]:
        """There are no indexes."""
        return ()

    def newest_first(self, versions: Iterable[str]) -> list[str]:
        """Nothing is known of versions."""
        return list(versions)
