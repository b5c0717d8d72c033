"""The legacy JSON of a project or a release: passed on whole, its files led to us.

No document says whether its URLs may be relative; ours are, referring to the request's own URL,
because where we are reached from is not known here. They name the same served paths as the
project's page, which has the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from packaging.version import InvalidVersion, Version

from proxy.core.policy import Blocked
from proxy.core.rows import Row, Table, build, decode_row, encode_row
from proxy.ecosystems.base import REFUSAL, WHOLE, Body, Context, Rendered
from proxy.ecosystems.pypi import content, links, names
from proxy.ecosystems.pypi.judging import newest_first
from proxy.errors import BadIndex

_OF_PROJECT = 2
"""How many folders below the mirror the document of a project is; that of a release is lower."""


def render(
    body: Body, project: str, context: Context, forms: frozenset[str], *, depth: int
) -> Iterator[Rendered]:
    """Make those of the forms `json` and `refusal` that are asked for, of a document that lies so
    many folders below the mirror. Raises BadIndex.

    Where there is a gate only files that it lets through are listed, and releases that have some.
    What is told of the newest release is told of the newest of those; a release that was asked for
    by its number is refused where the gate lets none of its files through.
    """
    document = content.document(body)
    gate = _Gate(body)
    is_latest_hidden = False
    if "urls" in document:
        listed = _led_here(document["urls"], body.url, project, depth)
        document["urls"] = gate.let_through(listed)
        is_latest_hidden = bool(listed) and not document["urls"]
    releases = document.get("releases")
    if isinstance(releases, dict):
        for version, files in list(releases.items()):
            listed = _led_here(files, body.url, project, depth)
            releases[version] = gate.let_through(listed)
            if listed and not releases[version]:
                del releases[version]
    elif releases is not None:
        raise BadIndex("the body's 'releases' are no table of versions")
    is_release = depth > _OF_PROJECT
    if is_latest_hidden and not is_release:
        _show_another(document, releases or {})
    if "json" in forms:
        try:
            yield Rendered(form="json", chunks=(msgspec.json.encode(document),))
        except RecursionError as error:
            raise BadIndex("the body's JSON is nested too deeply") from error
    if REFUSAL in forms:
        is_loud = context.policy is not None and context.policy.blocked is Blocked.REFUSE
        is_refused = is_latest_hidden if is_release else is_loud and not gate.kept
        refused = gate.refused if is_refused else None
        rows = {} if refused is None else {WHOLE: encode_row(refused)}
        yield Rendered(form=REFUSAL, chunks=build(rows))


def _show_another(document: dict[str, Any], releases: Mapping[str, list[dict[str, Any]]]) -> None:
    """Have *document* be about the newest release of which there is a file, as the index has it
    be about the newest of all; None: there is none.
    """
    document.pop("vulnerabilities", None)  # those of the release that is hidden
    info = document.get("info")
    if not isinstance(info, dict):
        return
    version = _latest({one: files for one, files in releases.items() if files})
    files = [] if version is None else releases[version]
    document["urls"] = files
    if isinstance(info.get("release_url"), str):
        page = info["release_url"].removesuffix("/").removesuffix(f"/{info.get('version')}")
        info["release_url"] = f"{page}/" if version is None else f"{page}/{version}/"
    info["version"] = version
    first = files[0] if files else {}
    told = {"requires_python": first.get("requires_python"), "yanked": first.get("yanked", False)}
    told |= {"yanked_reason": first.get("yanked_reason"), "requires_dist": None}  # is not said here
    info.update({key: value for key, value in told.items() if key in info})


def _latest(releases: Mapping[str, list[dict[str, Any]]]) -> str | None:
    """The newest, of those that people get who ask for none in particular, if there are such."""
    ordered = newest_first(releases)
    for minds in (_is_final, lambda _: True):
        for version in ordered:
            if minds(version) and not all(file.get("yanked") for file in releases[version]):
                return version
    return ordered[0] if ordered else None


def _is_final(version: str) -> bool:
    try:
        return not Version(version).is_prerelease
    except InvalidVersion:
        return False


class _Gate:
    """What the project's page lists. `kept`: how many files it let through; `refused`: what
    hides the first of the others.
    """

    def __init__(self, body: Body) -> None:
        self._rows = None if body.gate is None else Table(body.gate)
        self.kept = 0
        self.refused: Row | None = None

    def let_through(self, listed: Iterable[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
        """The files of *listed* that the page lists, too."""
        found = [file for file, path in listed if self._lets_through(path)]
        self.kept += len(found)
        return found

    def _lets_through(self, path: str) -> bool:
        if self._rows is None:
            return True
        value = self._rows.get(path)
        if value is None:
            return False
        row = decode_row(value)
        if row.denied is None:
            return True
        self.refused = self.refused or Row(denied=row.denied, until=row.until)
        return False


def _led_here(
    listed: object, base: str, project: str, depth: int
) -> list[tuple[dict[str, Any], str]]:
    """The files that can be served, each with its path."""
    if not isinstance(listed, list):
        raise BadIndex("the body has something else where a list of files should be")
    kept: list[tuple[dict[str, Any], str]] = []
    for file in listed:
        if not isinstance(file, dict):
            raise BadIndex(f"the body lists a {type(file).__name__} where a file should be")
        filename, reference = file.get("filename"), file.get("url")
        if not isinstance(filename, str) or not isinstance(reference, str):
            raise BadIndex("the body lists a file without a 'filename' or a 'url'")
        link = links.resolved(reference, base)
        if link is None or not names.is_file_name(filename):
            continue
        path = links.served(link, filename, _hashes(file), project)
        file["url"] = links.relative(path, depth)
        kept.append((file, path))
    return kept


def _hashes(file: dict[str, Any]) -> dict[str, str]:
    digests = file.get("digests")
    if not isinstance(digests, dict):
        return {}
    return {name: value for name, value in digests.items() if isinstance(value, str)}
