"""PyPI: what the paths below `/pypi/<mirror>/` mean, and which views an index has.

The mirror's source is the address of the Simple API itself, whatever it ends in (`…/simple/`,
`…/whl/cu130/`): project pages are directly below it. Files have the paths that pages give them,
so a file's project, and with it its index, is read from the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy.core.active import Scope
from proxy.core.model import Artifact, Form, Index, Resource, Source
from proxy.core.policy import Leaf
from proxy.ecosystems.base import REFUSAL, ROWS, Advised, Body, Context, Judged, Rendered
from proxy.ecosystems.paths import checked
from proxy.ecosystems.pypi import judging, legacy, links, names, naming, page, root
from proxy.errors import BadIndex, UnknownPath

_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "application/vnd.pypi.simple.v1+html"

ACCEPT = f"{_JSON}, {_HTML};q=0.2, text/html;q=0.01"
"""What upstream is asked for: JSON alone has sizes and upload times (PEP 700)."""

FORMS = (
    # First what a client gets that names no form: old scripts expect HTML, and PyPI sends it.
    Form(name="html", media_type="text/html"),
    Form(name="json", media_type=_JSON),
    Form(name="html", media_type=_HTML),
)
"""The forms of the Simple API; two of them are the same bytes."""

_LEGACY = (Form(name="json", media_type="application/json"),)


class PyPI:
    """The Simple API to version 1.4, files with their companions, and the legacy JSON."""

    name = "pypi"
    recipe = 11

    def classify(self, mirror: str, path: str) -> Resource:
        """Raises UnknownPath. A project's name may be spelt in any way; see `canonical`."""
        match checked(path).removesuffix("/").split("/"):
            case ["simple"]:
                return _root(mirror)
            case ["simple", spelt]:
                return _page(mirror, _known(spelt))
            case ["pypi", spelt, *version, "json"] if len(version) <= 1:
                return _legacy(mirror, "/".join((_known(spelt), *version)))
            case ["packages", *_] if not path.endswith("/"):
                return _artifact(mirror, path)
        raise UnknownPath(
            f"{path!r} is neither simple/<project>/, packages/…/<file> nor pypi/<project>/json"
        )

    def canonical(self, path: str) -> str | None:
        """Where a project is spelt otherwise than PEP 503 says, or a slash is missing or extra."""
        match path.removesuffix("/").split("/"):
            case ["simple"]:
                wanted = "simple/"
            case ["simple", spelt]:
                wanted = f"simple/{names.normalised(spelt) or spelt}/"
            case ["pypi", spelt, *version, "json"] if len(version) <= 1:
                wanted = "/".join(("pypi", names.normalised(spelt) or spelt, *version, "json"))
            case _:
                return None
        return None if wanted == path else wanted

    def absent_body(self, index: Index) -> bytes | None:
        """A project that upstream lacks is absent here, too: resolvers go on to another index."""
        return None

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """A page's forms are made at once; of the long root each alone, when asked for."""
        if index.path == "simple/":
            return frozenset({"json"}), frozenset({"html"})
        if index.path.startswith("simple/"):
            return (frozenset({"json", "html", ROWS}),)
        return (frozenset({"json", REFUSAL}),)

    def render(
        self,
        index: Index,
        body: Body,
        context: Context,
        forms: frozenset[str],
    ) -> Iterator[Rendered]:
        """Raises BadIndex; of the root's HTML also while its chunks are consumed."""
        try:
            match index.path.split("/"):
                case ["simple", ""]:
                    yield from root.render(body, forms, naming.hiding(context.policy))
                case ["simple", project, _]:
                    yield from page.render(body, project, context, forms)
                case ["pypi", project, *rest]:
                    yield from legacy.render(body, project, context, forms, depth=1 + len(rest))
        except BadIndex as error:
            raise BadIndex(f"{index.path} from {body.url}: {error}") from error

    def wrong(self, leaf: Leaf) -> str | None:
        """See `pypi.judging`."""
        return judging.wrong(leaf)

    def doubtful(self, leaf: Leaf) -> str | None:
        """See `pypi.judging`."""
        return judging.doubtful(leaf)

    def judged(self, index: Index, body: Body, context: Context) -> Iterator[Judged]:
        """Only of projects' pages. Raises BadIndex."""
        project = _project(index)
        judge = None if project is None else page.judging_of(body, project, context)
        if project is None or judge is None:
            return
        for one, path in page.placed(body, project):
            yield Judged(
                filename=one.filename,
                name=project,
                version="" if one.version is None else str(one.version),
                published=judge.published(one),
                verdict=judge.verdict(one),
                row=path,
            )

    def undated(self, index: Index, body: Body) -> Iterator[tuple[bytes, float | None]]:
        """An index in HTML has no upload times. A page is first looked at when somebody wants the
        project, which may be as new as its files: nothing is believed to be old.
        """
        project = _project(index)
        if project is not None:
            for one in page.candidates(body, project):
                if one.uploaded is None:
                    yield one.identity, None

    def decided_by(self, index: Index) -> Index | None:
        """A project's page also for its legacy JSON."""
        match index.path.split("/"):
            case ["pypi", project, *_]:
                return _page(index.mirror, project)
        return None

    def sums_up(self, index: Index) -> Callable[[str], bool] | None:
        """The list of all projects tells nothing of their files."""
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
        """Those of one project concern its page alone."""
        project = _project(index)
        return None if project is None else Advised("PyPI", project)

    def begins(self, mirror: str, scope: Scope) -> tuple[Index, ...]:
        """The pages of the projects that are named, or else the list of all."""
        if not scope.specs:
            return (_root(mirror),)
        projects = dict.fromkeys(canonicalize_name(Requirement(one).name) for one in scope.specs)
        return tuple(_page(mirror, project) for project in projects)

    def leads(self, index: Index, body: Body) -> Iterator[Index]:
        """From the list of all projects to each of them. Raises BadIndex."""
        if index.path == "simple/":
            for name in map(names.normalised, root.projects(body)):
                if name is not None:
                    yield _page(index.mirror, name)

    def path(self, index: Index, row: str) -> str:
        """Rows are paths."""
        return row

    def companions_of(self, row: str) -> tuple[str, ...]:
        """Core metadata (PEP 658): who resolves asks for it first."""
        return (f"{row}.metadata",)

    def newest_first(self, versions: Iterable[str]) -> list[str]:
        """PEP 440's order."""
        return judging.newest_first(versions)


def _project(index: Index) -> str | None:
    """The project whose page *index* is."""
    match index.path.split("/"):
        case ["simple", project, ""] if project:
            return project
    return None


def _known(spelt: str) -> str:
    name = names.normalised(spelt)
    if name is None:
        raise UnknownPath(f"{spelt!r} cannot be a project's name")
    return name


def _index(mirror: str, path: str, source: Source, forms: tuple[Form, ...]) -> Index:
    return Index(mirror=mirror, path=path, sources=(source,), forms=forms)


def _root(mirror: str) -> Index:
    return _index(mirror, "simple/", Source(path="", accept=ACCEPT), FORMS)


def _page(mirror: str, project: str) -> Index:
    source = Source(path=f"{project}/", accept=ACCEPT, refused_is_missing=True)
    return _index(mirror, f"simple/{project}/", source, FORMS)


def _legacy(mirror: str, project: str) -> Index:
    """It is no part of the Simple API; where there is one, it is beside the Simple API's root."""
    source = Source(path=f"../pypi/{project}/json", accept="application/json")
    return _index(mirror, f"pypi/{project}/json", source, _LEGACY)


def _artifact(mirror: str, path: str) -> Artifact:
    found = links.place(path)
    if found is None or found.project is None:
        raise UnknownPath(f"{path!r} is not the path of a file that a page here could list")
    return Artifact(
        mirror=mirror,
        path=path,
        index=_page(mirror, found.project),
        row=path,
        media_type=names.media_type(found.filename),
    )
