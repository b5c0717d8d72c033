"""A project's page: read from JSON or HTML, its files led to us, every other word kept.

The JSON is edited in place, so keys that came after version 1.4 (`namespaces`, variants, a
server's own `_…`) pass with their order. A file that cannot be served is not listed, nor one
that the policy hides; of one it warns of, its reason is given where clients print it: as `yanked`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from proxy.core.policy import UNRULED, Blocked, Effect, Verdict
from proxy.core.rows import Row, build, encode_row
from proxy.core.telling import warned_until
from proxy.ecosystems.base import ROWS, WHOLE, Body, Context, Rendered
from proxy.ecosystems.pypi import content, files, html_page, links, names
from proxy.ecosystems.pypi.judging import Candidate, Judging
from proxy.ecosystems.pypi.links import Link
from proxy.errors import BadIndex

_NOT_NULL = ("meta", "name", "project-status", "versions")
"""What a page may lack but not have as `null`: clients with strict models refuse the page."""


class Page(NamedTuple):
    """A page as we serve it, in JSON's terms, its row table's contents, and how many files which
    rule hides.
    """

    document: dict[str, Any]
    rows: dict[str, bytes]
    hidden: Mapping[str, int]


def render(body: Body, project: str, context: Context, forms: frozenset[str]) -> Iterator[Rendered]:
    """Make those of the forms `json`, `html` and `rows` that are asked for. Raises BadIndex."""
    page = read(body, project, context)
    if "json" in forms:
        yield Rendered(form="json", chunks=(_encoded(page.document),))
    if "html" in forms:
        yield Rendered(form="html", chunks=html_page.written(page.document))
    if ROWS in forms:
        yield Rendered(form=ROWS, chunks=build(page.rows), hidden=page.hidden)


def read(body: Body, project: str, context: Context) -> Page:
    """The page of the project of that normalised name. Raises BadIndex."""
    document = _document(body, project)
    judging = judging_of(body, project, context)
    status = status_of(document)
    kept: list[dict[str, Any]] = []
    hidden: list[tuple[str, Verdict]] = []
    rows: dict[str, bytes] = {}
    for file, link, path in _placed(document["files"], body, project):
        verdict = UNRULED if judging is None else judging.verdict(Candidate(file, status))
        for key, row in files.rows(file, link, path):
            rows[key] = encode_row(_judged(row, verdict))
        if verdict.hides:
            hidden.append((file["filename"], verdict))
        else:
            kept.append(_shown(file, path, verdict))
    document["files"] = kept
    if hidden:
        _keep_versions(document, kept, [filename for filename, _ in hidden])
    if hidden and not kept and context.policy and context.policy.blocked is Blocked.REFUSE:
        verdict = hidden[-1][1]
        rows[WHOLE] = encode_row(_judged(Row(), verdict))
    return Page(document, rows, Counter(verdict.rule for _, verdict in hidden))


def candidates(body: Body, project: str) -> Iterator[Candidate]:
    """The files of a page, as policies look at them. Raises BadIndex."""
    return (candidate for candidate, _ in placed(body, project))


def placed(body: Body, project: str) -> Iterator[tuple[Candidate, str]]:
    """The files of a page with their paths here. Raises BadIndex."""
    document = _document(body, project)
    status = status_of(document)
    for file, _, path in _placed(document["files"], body, project):
        yield Candidate(file, status), path


def judging_of(body: Body, project: str, context: Context) -> Judging | None:
    """What judges the files of that page; None where there is no policy."""
    if context.policy is None:
        return None
    return Judging(project, body, context, context.policy)


def status_of(document: dict[str, Any]) -> str:
    """PEP 792: a project of which nothing is said is active."""
    status = document.get("project-status")
    named = status.get("status") if isinstance(status, dict) else None
    return named if isinstance(named, str) else "active"


def _document(body: Body, project: str) -> dict[str, Any]:
    if content.is_json(body):
        document = content.document(body)
        _check_version(document)
    else:
        document = html_page.read(content.text(body), body.url, project)
    if not isinstance(document.get("files"), list):
        raise BadIndex("the body is no project's page: it has no list of 'files'")
    for key in _NOT_NULL:
        if document.get(key, key) is None:
            del document[key]
    document.setdefault("name", project)
    return document


def _placed(
    listed: list[object], body: Body, project: str
) -> Iterator[tuple[dict[str, Any], Link, str]]:
    """The files that can be served, each with where upstream has it and its path here."""
    for one in listed:
        file = files.checked(one)
        link = links.resolved(file["url"], body.url)
        path = files.place(file, link, project)
        if link is not None and path is not None:
            files.tidy(file, body.url)
            files.promise(file)
            yield file, link, path


def _judged(row: Row, verdict: Verdict) -> Row:
    if not verdict.hides:
        return row
    return msgspec.structs.replace(row, denied=verdict.denied, until=verdict.until)


def _shown(file: dict[str, Any], path: str, verdict: Verdict) -> dict[str, Any]:
    file["url"] = links.relative(path)
    file.pop(files.DERIVED, None)
    if verdict.effect is Effect.WARN:
        reason = warned_until(verdict.reason, verdict.until)
        file["yanked"] = f"{reason} (rule {verdict.rule})"
    return file


def _keep_versions(document: dict[str, Any], kept: list[dict[str, Any]], hidden: list[str]) -> None:
    """PEP 700's `versions` without those of which no file is left."""
    versions = document.get("versions")
    if not isinstance(versions, list):
        return
    left = {names.version_of(file["filename"]) for file in kept}
    gone = {names.version_of(filename) for filename in hidden} - left
    document["versions"] = [one for one in versions if names.normalised_version(one) not in gone]


def _check_version(document: dict[str, Any]) -> None:
    meta = document.get("meta")
    if meta is None:
        return
    if not isinstance(meta, dict):
        raise BadIndex(f"the body's 'meta' is a {type(meta).__name__}, not an object")
    if meta.get("api-version") is not None:
        content.minor_version(meta["api-version"])


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except RecursionError as error:
        raise BadIndex("the body's JSON is nested too deeply") from error
