"""repodata.json read at its top level only, so that every record survives byte for byte.

Only what would lead clients past this proxy is changed: `base_url` goes (CEP 15), relations to
channels that are not served here go (CEP 42), and wheels' URLs become bare file names. What the
policy hides is left out everywhere, and what counts records counts those that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import msgspec

from proxy.core.model import Index
from proxy.core.policy import Verdict
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda import relations
from proxy.ecosystems.conda.gate import UNKNOWN, Gate
from proxy.ecosystems.conda.pieces import Filtered, Piece, pieces
from proxy.ecosystems.conda.records import Judgeable, Record, row_value
from proxy.ecosystems.conda.sections import Sections, sections
from proxy.ecosystems.conda.text import EMPTY, UNREADABLE, objects, plain_text, values
from proxy.ecosystems.conda.wheels import Wheel, link, rewritten
from proxy.errors import BadIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Repodata:
    """One index, split at its top level. `text` is the JSON that clients get, in pieces."""

    sections: Sections
    info: Mapping[str, Any]  # as clients get it
    removed: Mapping[str, list[str]]  # file names by package name
    text: list[Piece]
    changed: bool  # whether `text` differs from what upstream sent
    wheels: Mapping[str, msgspec.Raw]  # the records of `v3.whl` that clients get otherwise
    rows: list[tuple[str, bytes]]  # of every file that upstream's index lists, hidden or not


def read(index: Index, body: Body, context: Context, *, rowed: bool = False) -> Repodata:
    """Split, judge and, where need be, rewrite an index; *rowed*: make its rows, too.

    Raises BadIndex.
    """
    text = plain_text(index, body)
    top = objects(text, index.path)
    info = values(top.get("info"), f"{index.path}, info")
    base = info.get("base_url")
    if base is not None and not isinstance(base, str):
        raise BadIndex(f"{index.path}: info.base_url is not a text")
    where = f"{index.path}, info.base_url"
    absolute = _absolute(body.url, base.rstrip("/") + "/", where) if base else None
    found = sections(top, index.path)
    rows: list[tuple[str, bytes]] = []
    if rowed:
        links = Links(url=absolute or body.url, base_url=absolute)
        rows = list(_rows(found, _gate(index, body, context), links))
    elif context.policy is not None:
        gate = Gate(index, body, context, context.policy)
        for section in found.values():
            section.hidden = gate.hidden(section)
    changes = _Changes(index, top, context, found)
    shown_info = changes.info(info)
    changed = changes.all(info, shown_info)
    return Repodata(
        sections=found,
        info=shown_info,
        removed=changes.removed,
        text=pieces({**top, **changed}) if changed else [text],
        changed=bool(changed) or text is EMPTY,
        wheels=changes.wheels,
        rows=rows,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where upstream's files are: what its relative addresses refer to, and its `base_url`, made
    absolute; None where packages lie beside the index.
    """

    url: str
    base_url: str | None


def _gate(index: Index, body: Body, context: Context) -> Gate | None:
    return None if context.policy is None else Gate(index, body, context, context.policy)


def _rows(found: Sections, gate: Gate | None, links: Links) -> Iterator[tuple[str, bytes]]:
    """The rows of all files; what is hidden is noted on the way. Raises BadIndex."""
    base = links.base_url
    for section in found.values():
        if section.kind is None:
            section.hidden = dict.fromkeys(section.members, UNKNOWN) if gate else {}
            continue
        judge = None if gate is None else gate.judge(section)
        model = Record if gate is None else Judgeable  # the more is read, the longer it takes
        is_flat, is_wheel = len(section.path) == 1, section.kind == "wheel"
        hidden: dict[str, Verdict] = {}
        for key, record in section.records(model):
            verdict = judge(key, record) if judge is not None else None
            if verdict is not None:
                hidden[key] = verdict
            filename = key if is_flat else section.filename(key)
            url = base and base + link(filename)
            if is_wheel and isinstance(record, Wheel):
                where = f"{section.where}, {key}"
                url = _absolute(links.url, record.url or link(filename), where)
            yield filename, row_value(record, url, verdict)
        section.hidden = hidden


class _Changes:
    """What clients get otherwise than upstream sent it, by the key at the top level."""

    def __init__(
        self,
        index: Index,
        top: Mapping[str, msgspec.Raw],
        context: Context,
        found: Sections,
    ) -> None:
        self._index = index
        self._top = top
        self._context = context
        self._sections = found
        self._hides = any(section.hidden for section in found.values())
        self.wheels = self._wheels()
        self.removed = _removed(index, top)

    def info(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """`info` as clients get it, in repodata and in the shard index alike (CEP 42)."""
        shown = {key: value for key, value in info.items() if key != "base_url"}
        if "channel_relations" in shown:
            kept = relations.kept(self._index, shown["channel_relations"], self._context)
            if kept:
                shown["channel_relations"] = kept
            else:
                del shown["channel_relations"]
        revisions = shown.get("repodata_revisions")
        if self._hides and isinstance(revisions, dict):
            shown["repodata_revisions"] = {
                name: self._revision(name, one) for name, one in revisions.items()
            }
        return shown

    def all(
        self, info: Mapping[str, Any], shown: Mapping[str, Any]
    ) -> dict[str, msgspec.Raw | list[Piece]]:
        changes: dict[str, msgspec.Raw | list[Piece]] = {}
        if shown != info:
            changes["info"] = _raw(shown)
        if "base_url" in info and bytes(self._top.get("repodata_version", b"")) == b"2":
            changes["repodata_version"] = _raw(1)  # CEP 15 raised it for base_url alone
        for name in ("packages", "packages.conda"):
            section = self._sections.get((name,))
            if section is not None and section.hidden:
                changes[name] = [section.shown()]
        if newer := self._newer():
            changes["v3"] = newer
        return changes | self._side_tables()

    def _wheels(self) -> Mapping[str, msgspec.Raw]:
        section = self._sections.get(("v3", "whl"))
        return {} if section is None else rewritten(section.wheels, section.members, section.where)

    def _newer(self) -> list[Piece] | None:
        """`v3`, where anything in it is hidden or led to us."""
        newer = {path[1]: one for path, one in self._sections.items() if path[0] == "v3"}
        if not self.wheels and not any(section.hidden for section in newer.values()):
            return None
        tables: dict[str, msgspec.Raw | list[Piece]] = {}
        for name, section in newer.items():
            ours = self.wheels if section.kind == "wheel" else {}
            members = {**section.members, **ours}
            tables[name] = [Filtered(members, section.hidden)]
        return pieces(tables, end=b"}")

    def _side_tables(self) -> dict[str, msgspec.Raw | list[Piece]]:
        """What refers to files that are hidden: CEP 36's `removed` keeps to names alone."""
        if not self._hides or "signatures" not in self._top:
            return {}
        hidden = {
            section.filename(key) for section in self._sections.values() for key in section.hidden
        }
        signatures = objects(self._top["signatures"], f"{self._index.path}, signatures")
        return {"signatures": [Filtered(signatures, dict.fromkeys(hidden))]}

    def _revision(self, name: str, revision: Any) -> Any:
        """CEP 48: how many records there are, and between which times, must be true."""
        if not isinstance(revision, dict):
            return revision
        kept = [
            record
            for path, section in self._sections.items()
            if path[0] == name and section.kind is not None
            for key, record in section.records(Judgeable)
            if key not in section.hidden
        ]
        times = [one.timestamp for one in kept if type(one.timestamp) in (int, float)]
        counted = {"n_packages": len(kept)}
        if times:
            counted |= {"oldest": min(times), "newest": max(times)}
        gone = () if times else ("oldest", "newest")
        return {key: value for key, value in revision.items() if key not in gone} | counted


def _removed(index: Index, top: Mapping[str, msgspec.Raw]) -> dict[str, list[str]]:
    """The names of files that may no longer be installed, by package name."""
    if "removed" not in top:
        return {}
    try:
        filenames = msgspec.json.decode(top["removed"], type=list[str])
    except UNREADABLE as error:
        raise BadIndex(f"{index.path}: removed is not a list of file names: {error}") from error
    removed: dict[str, list[str]] = {}
    for filename in filenames:
        removed.setdefault(filename.rsplit("-", 2)[0], []).append(filename)
    return removed


def _absolute(base: str, reference: str, where: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError as error:
        raise BadIndex(f"{where}: {reference!r} is not a URL: {error}") from error


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
