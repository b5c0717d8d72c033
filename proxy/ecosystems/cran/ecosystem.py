"""A repository of R packages, as the gateway sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from proxy.core.active import Scope
from proxy.core.model import Index, Resource
from proxy.core.policy import Leaf
from proxy.ecosystems.base import ROWS, Advised, Body, Context, Judged, Rendered
from proxy.ecosystems.cran import archive, closure, judging, packages, paths
from proxy.ecosystems.cran.judging import Candidate, Judging
from proxy.ecosystems.cran.packed import unpacked
from proxy.ecosystems.cran.versions import newest_first
from proxy.errors import BadIndex

_PACKAGES = frozenset({"rds", ROWS}), frozenset({"gz"}), frozenset({"text"})
_ARCHIVE = (frozenset({"rds", ROWS}),)
_PAGE = (frozenset({"html"}),)


class Cran:
    """See `proxy.ecosystems.base.Ecosystem`."""

    name = "cran"
    recipe = 5

    def classify(self, mirror: str, path: str) -> Resource:
        """See `cran.paths`."""
        return paths.classify(mirror, path)

    def canonical(self, path: str) -> str | None:
        """See `cran.paths`."""
        return paths.canonical(path)

    def absent_body(self, index: Index) -> bytes | None:
        """A folder that upstream lacks is absent: R then says that it has no packages there."""
        return None

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """R asks for PACKAGES.rds first."""
        if _is_packages(index):
            return _PACKAGES
        return _ARCHIVE if _is_archive(index) else _PAGE

    def render(
        self, index: Index, body: Body, context: Context, forms: frozenset[str]
    ) -> Iterator[Rendered]:
        """Raises BadIndex."""
        try:
            if _is_packages(index):
                yield from packages.render(index, body, context, forms)
            elif _is_archive(index):
                yield from archive.render(index, body, context, forms)
            else:
                yield Rendered(form="html", chunks=(archive.page(index, body, context),))
        except BadIndex as error:
            raise BadIndex(f"{index.path} from {body.url}: {error}") from error

    def wrong(self, leaf: Leaf) -> str | None:
        """See `cran.judging`."""
        return judging.wrong(leaf)

    def doubtful(self, leaf: Leaf) -> str | None:
        """See `cran.judging`."""
        return judging.doubtful(leaf)

    def judged(self, index: Index, body: Body, context: Context) -> Iterator[Judged]:
        """Of PACKAGES and archive.rds. Raises BadIndex."""
        if context.policy is None or not (_is_packages(index) or _is_archive(index)):
            return
        contrib = (packages if _is_packages(index) else archive).contrib_of(index)
        judge = Judging(contrib, body, context, context.policy)
        for one in _listed(index, body):
            yield Judged(
                filename=one.filename,
                name=one.name,
                version=one.version,
                published=judge.published(one),
                verdict=judge.verdict(one),
            )

    def undated(self, index: Index, body: Body) -> Iterator[tuple[bytes, float | None]]:
        """PACKAGES has no dates of the server's. What is there before us is as old as its maker
        says; most say nothing, and a whole repository is not new because it is new here.
        """
        if _is_packages(index) or _is_archive(index):
            for one in _listed(index, body):
                if one.dated is None:
                    yield one.identity, one.said

    def decided_by(self, index: Index) -> Index | None:
        """archive.rds decides for the pages of the archive."""
        if _is_packages(index) or _is_archive(index):
            return None
        return paths.archive(index.mirror, index.path.rpartition("/Archive/")[0])

    def sums_up(self, index: Index) -> Callable[[str], bool] | None:
        """Each folder has indexes of its own."""
        return None

    def supplement(self, index: Index) -> Index | None:
        """Indexes have no parts."""
        return None

    def companions(self, index: Index, known: Iterable[str]) -> tuple[str, ...]:
        """A folder's packages need those of the same folder."""
        return (index.path,) if _is_packages(index) else ()

    def closed(
        self, index: Index, listed: Sequence[tuple[Index, Body]], specs: Iterable[Sequence[str]]
    ) -> bytes:
        """See `cran.closure`."""
        ((one, body),) = listed
        return closure.made(one, body, specs)

    def listed(self, member: bytes) -> Iterator[str]:
        """Indexes have no parts."""
        yield from ()

    def advised(self, index: Index) -> Advised | None:
        """All of OSV's CRAN."""
        return None if _is_page(index) else Advised("CRAN")

    def begins(self, mirror: str, scope: Scope) -> tuple[Index, ...]:
        """The contrib folders that are named as platforms, or else that of the sources: which
        versions of R there are binaries for cannot be asked.
        """
        folders = (one.strip("/") for one in scope.platforms or (paths.SOURCES,))
        return tuple(paths.packages(mirror, one) for one in folders)

    def leads(self, index: Index, body: Body) -> Iterator[Index]:
        """Nowhere else."""
        yield from ()

    def path(self, index: Index, row: str) -> str:
        """Beside PACKAGES."""
        return f"{index.path.rpartition('/')[0]}/{row}"

    def companions_of(self, row: str) -> tuple[str, ...]:
        """A package is one file."""
        return ()

    def newest_first(self, versions: Iterable[str]) -> list[str]:
        """See `cran.versions`."""
        return newest_first(versions)


def _is_packages(index: Index) -> bool:
    return index.path.endswith("/PACKAGES")


def _is_archive(index: Index) -> bool:
    return index.path.endswith(f"/{paths.ARCHIVE}")


def _is_page(index: Index) -> bool:
    return index.path.endswith("/")


def _listed(index: Index, body: Body) -> Iterator[Candidate]:
    if _is_packages(index):
        yield from packages.listed(index, unpacked(body.content))
    else:
        yield from archive.files(body)
