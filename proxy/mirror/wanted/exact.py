"""A closure as the `specs` of active mirrors, which then have it ahead of time by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

from proxy.ecosystems.cran import paths
from proxy.ecosystems.pypi import names
from proxy.mirror.wanted.closure import Needed
from proxy.upstream.served import Served

_CONDA = (".conda", ".tar.bz2")
_ARCHIVE = "/Archive/"


def specs_of(files: Iterable[Needed], mirrors: Iterable[Served]) -> dict[str, list[str]]:
    """By mirror (`type/name`): one spec for each version of a package among *files*."""
    known = sorted(mirrors, key=lambda mirror: len(mirror.url), reverse=True)
    found: dict[str, dict[str, None]] = {}
    for file in files:
        mirror = next((one for one in known if file.url.startswith(one.url)), None)
        spec = None if mirror is None else _spec(mirror.type, unquote(file.url))
        if mirror is not None and spec is not None:
            found.setdefault(mirror.key, {})[spec] = None
    return {key: sorted(found[key]) for key in sorted(found)}


def as_toml(specs: dict[str, list[str]]) -> Iterator[str]:
    """Lines for the tables of those mirrors. Names and versions hold nothing to be escaped."""
    for key, listed in specs.items():
        kind, _, name = key.partition("/")
        yield from ("[[mirror]]", f'type = "{kind}"', f'name = "{name}"', 'mode = "active"')
        yield from _written(listed)
        if kind != "pypi":  # nothing else may come with them: they are all
            yield "dependencies = false"
        yield ""


def _written(listed: Sequence[str]) -> Iterator[str]:
    yield "specs = ["
    yield from (f'    "{one}",' for one in listed)
    yield "]"


def _spec(kind: str, url: str) -> str | None:
    """What means that version and no other; None for what is no package of an index."""
    filename = url.rpartition("/")[2]
    match kind:
        case "conda" if filename.endswith(_CONDA):
            stem = filename.removesuffix(".conda").removesuffix(".tar.bz2")
            name, version, build = stem.rsplit("-", 2)
            return f"{name} =={version} {build}"
        case "pypi":
            project, release = names.project_of(filename), names.version_of(filename)
            return f"{project}=={release}" if project and release else None
        case "cran" if _ARCHIVE not in url and (package := paths.package(filename)):
            return f"{package[0]} (== {package[1]})"
        case _:
            return None
