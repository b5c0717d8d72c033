"""repodata.json read at its top level only, so that every record survives byte for byte.

Only what would lead clients past this proxy is changed: `base_url` goes (CEP 15), relations to
channels that are not served here go (CEP 42), and wheels' URLs become bare file names. What the
policy hides is left out everywhere, and what counts records counts those that are left.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.core.model import Index
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda import halves, relations, rowing, shards, taking
from proxy.ecosystems.conda.gate import Gate
from proxy.ecosystems.conda.listings import exports_by_name
from proxy.ecosystems.conda.outline import outline
from proxy.ecosystems.conda.pieces import Filtered, Piece, pieces
from proxy.ecosystems.conda.reader import Reader
from proxy.ecosystems.conda.records import Judgeable
from proxy.ecosystems.conda.rowing import Links, absolute
from proxy.ecosystems.conda.sections import Sections, sections
from proxy.ecosystems.conda.shards import Shard, Sharding
from proxy.ecosystems.conda.text import EMPTY, UNREADABLE, objects, plain_text, values
from proxy.errors import BadIndex

_PER_SHARD = 20
"""Bytes of text for one of an earlier pack, from which few shards can be taken out of it: there
are five as a rule.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repodata:
    """One index, split at its top level. `text` is the JSON that clients get, in pieces."""

    text: list[Piece]
    changed: bool  # whether `text` differs from what upstream sent
    hidden: Mapping[str, int]  # files by the rule that hides them
    rows: Iterable[bytes | memoryview]  # the table of every file upstream lists, hidden or not
    sharding: Sharding
    notes: bytes  # see `conda.taking`


def read(
    index: Index,
    body: Body,
    context: Context,
    *,
    rowed: bool = False,
    sharded: bool = False,
    noting: bool = False,
) -> Repodata:
    """Split, judge and, where need be, rewrite an index; *rowed*, *sharded*, *noting*: make rows of
    it, what shards are made of, or what the next generation takes over, too.

    Raises BadIndex.
    """
    unpacked = body.beside(lambda: plain_text(index, body))  # which is not Python's work
    reading = _Reading(
        index=index,
        body=body,
        context=context,
        gate=None if context.policy is None else Gate(index, body, context, context.policy),
        known=taking.earlier(body, context) if noting else None,
        pack=body.earlier.get("shardpack", b"") if sharded else b"",
        earlier=shards.known(body.earlier.get("shardpack")) if sharded else {},
        rowed=rowed,
        sharded=sharded,
        noting=noting,
    )
    text = unpacked()
    quick = outline(text) if reading.reads_records else None
    if quick is not None:
        with contextlib.suppress(BadIndex):  # it is found out below what is wrong, if anything is
            return reading.done(text, quick, strict=True)
    return reading.done(text, objects(text, index.path), strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """An index that is to be read, and what of it is to be made."""

    index: Index
    body: Body
    context: Context
    gate: Gate | None
    known: taking.Earlier | None
    pack: bytes | memoryview
    earlier: Mapping[str, Shard]
    rowed: bool
    sharded: bool
    noting: bool

    @property
    def reads_records(self) -> bool:
        """Whether all records are looked at."""
        return self.rowed or self.sharded or self.gate is not None

    def done(
        self, text: bytes | memoryview, top: dict[str, msgspec.Raw], *, strict: bool
    ) -> Repodata:
        """The index *text*, whose members are *top*; *strict*: its tables have not been looked at.

        Raises BadIndex.
        """
        index, body = self.index, self.body
        info = values(top.get("info"), f"{index.path}, info")
        found = sections(top, index.path)
        removed = _removed(index, top)
        links = _links(index, body, info)
        exports = exports_by_name(index, body.supplement) if self.sharded else {}
        reader = Reader(
            self.gate,
            links,
            rowed=self.rowed,
            sharded=self.sharded,
            noting=self.noting,
            strict=strict,
        )
        task = halves.Task(index=index, sections=found, removed=removed, exports=exports)
        changed_names = None if self.known is None else reader.take(found, self.known)
        made = None if changed_names is not None else self._by_two(task, reader, len(text))
        if changed_names is None and made is None and self.reads_records:
            for section in found.values():
                reader.read(section)
        changes = _Changes(index, top, self.context, found)
        shown_info = changes.info(info)
        changed = changes.all(info, shown_info)
        rules = (verdict.rule for section in found.values() for verdict in section.hidden.values())
        return Repodata(
            text=pieces({**top, **changed}) if changed else [text],
            changed=bool(changed) or text is EMPTY,
            hidden=Counter(rules),
            rows=rowing.table(reader.blocks.values()) if self.rowed else (),
            sharding=Sharding(
                info=shown_info,
                removed=removed,
                tables=reader.shards,
                exports=exports,
                earlier=self.earlier,
                made=made or {},
                changed=changed_names,
            ),
            notes=taking.encoded(self.context, links.base_url or "", reader.noted, reader.newest),
        )

    def _by_two(self, task: halves.Task, reader: Reader, length: int) -> Mapping[str, Shard] | None:
        """The shards that two processes made while they read it all; None: that cannot be."""
        aside = self.body.aside
        # What is packed at once takes memory, of which each of two processes has half.
        is_worth_it = self.rowed and self.sharded and len(self.pack) * _PER_SHARD < length
        if aside is None or not is_worth_it:
            return None
        reader.packing = task.exports
        try:
            return halves.read(task, reader, aside)
        finally:
            reader.packing = None


def _links(index: Index, body: Body, info: Mapping[str, Any]) -> Links:
    """Where upstream has its packages (CEP 15). Raises BadIndex."""
    base = info.get("base_url")
    if base is not None and not isinstance(base, str):
        raise BadIndex(f"{index.path}: info.base_url is not a text")
    if not base:
        return Links(url=body.url, base_url=None)
    url = absolute(body.url, base.rstrip("/") + "/", f"{index.path}, info.base_url")
    return Links(url=url, base_url=url)


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

    def _newer(self) -> list[Piece] | None:
        """`v3`, where anything in it is hidden or led to us."""
        newer = {path[1]: one for path, one in self._sections.items() if path[0] == "v3"}
        if not any(section.rewritten or section.hidden for section in newer.values()):
            return None
        tables: dict[str, msgspec.Raw | list[Piece]] = {}
        for name, section in newer.items():
            if section.kind == "wheel":
                members = {**section.members, **section.rewritten}
                tables[name] = [Filtered(members, section.hidden)]
            else:
                tables[name] = [section.shown()]
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


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
