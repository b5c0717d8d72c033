"""repodata.json read at its top level only, so that every record survives byte for byte.

Only what would lead clients past this proxy is changed: `base_url` goes (CEP 15), relations to
channels that are not served here go (CEP 42), and wheels' URLs become bare file names (CEP 48).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.core.rows import Row
from proxy.ecosystems.base import Body, Context
from proxy.errors import BadIndex

LARGEST = 4 << 30
"""Bytes of decompressed JSON that are accepted; conda-forge's largest is below a tenth of it."""

_PIECE = 4 << 20
_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_TABLES = ("packages", "packages.conda")


class Record(msgspec.Struct, gc=False):
    """What serving a file takes of its record."""

    name: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


class Wheel(Record, gc=False):
    """A record under `v3.whl`: the file may be anywhere."""

    url: str | None = None
    fn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repodata:
    """One index, split at its top level. `text` is the JSON that clients get."""

    sent: Mapping[str, msgspec.Raw]  # as upstream sent it
    top: Mapping[str, msgspec.Raw]  # as clients get it
    info: Mapping[str, Any]  # as upstream sent it
    url: str  # what upstream's relative addresses refer to
    text: bytes | memoryview
    base_url: str | None  # upstream's, absolute; None where packages lie beside the index
    changed: bool  # whether `text` differs from what upstream sent


def plain_text(index: Index, body: Body) -> bytes | memoryview:
    """The JSON text of *body*, decompressed where its source's name says so. Raises BadIndex."""
    if not body.source.endswith(".zst"):
        return body.content if len(body.content) else b"{}"  # CEP 36: an empty file equals {}
    try:
        with zstandard.ZstdDecompressor().stream_reader(
            body.content, read_across_frames=True
        ) as reader:
            text = bytearray()
            while piece := reader.read(_PIECE):
                text += piece
                if len(text) > LARGEST:
                    raise BadIndex(f"{index.path} is longer than {LARGEST} bytes")
    except zstandard.ZstdError as error:
        raise BadIndex(f"{index.path}: {body.source} is not Zstandard: {error}") from error
    if len(body.content) == 0:
        raise BadIndex(f"{index.path}: {body.source} is empty")
    return memoryview(text)


def read(index: Index, body: Body, context: Context) -> Repodata:
    """Split and, where need be, rewrite an index. Raises BadIndex."""
    text = plain_text(index, body)
    top = objects(text, index.path)
    info = _values(top.get("info"), f"{index.path}, info")
    base = info.get("base_url")
    if base is not None and not isinstance(base, str):
        raise BadIndex(f"{index.path}: info.base_url is not a text")
    changes = _changes(index, top, info, context)
    shown = {**top, **changes}
    if changes:
        text = joined(shown)
    absolute = urljoin(body.url, base.rstrip("/") + "/") if base else None
    return Repodata(
        sent=top,
        top=shown,
        info=info,
        url=absolute or body.url,
        text=text,
        base_url=absolute,
        changed=bool(changes),
    )


def objects(text: bytes | memoryview | msgspec.Raw, where: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, unread. Raises BadIndex."""
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except _UNREADABLE as error:
        raise BadIndex(f"{where} is not a JSON object: {error}") from error


def joined(members: Mapping[str, msgspec.Raw]) -> bytes:
    """A JSON object of members that are JSON already."""
    pieces = [b'"%b":%b' % (_quoted(key), bytes(raw)) for key, raw in members.items()]
    return b"{" + b",".join(pieces) + b"}\n"


def rows(index: Index, repodata: Repodata) -> Iterator[tuple[str, Row]]:
    """Every file that the index lists, by file name. Raises BadIndex."""
    base = repodata.base_url
    for table in _TABLES:
        for filename, record in _records(index, repodata.sent.get(table), table, Record).items():
            yield filename, _row(record, urljoin(base, filename) if base else None)
    newer = objects(repodata.sent["v3"], f"{index.path}, v3") if "v3" in repodata.sent else {}
    for kind in ("tar.bz2", "conda"):
        for stem, record in _records(index, newer.get(kind), f"v3.{kind}", Record).items():
            filename = f"{stem}.{kind}"
            yield filename, _row(record, urljoin(base, filename) if base else None)
    for stem, wheel in _records(index, newer.get("whl"), "v3.whl", Wheel).items():
        filename = wheel_name(stem, wheel.url, wheel.fn)
        yield filename, _row(wheel, urljoin(repodata.url, wheel.url or filename))


def wheel_name(stem: str, url: str | None, fn: str | None) -> str:
    """The file name that clients ask us for."""
    name = unquote(urlsplit(url).path.rpartition("/")[2]) if url else fn or ""
    return name if name.endswith(".whl") and "/" not in name else f"{stem}.whl"


def _row(record: Record, url: str | None) -> Row:
    hashes = {}
    if record.sha256:
        hashes["sha256"] = record.sha256.lower()
    elif record.md5:
        hashes["md5"] = record.md5.lower()
    return Row(url=url, size=record.size, hashes=hashes)


def _records(index: Index, raw: msgspec.Raw | None, table: str, kind: type[Any]) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, kind])  # type: ignore[valid-type]
    except _UNREADABLE as error:
        raise BadIndex(f"{index.path}, {table}: {error}") from error
    return found


def _values(raw: msgspec.Raw | None, where: str) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except _UNREADABLE as error:
        raise BadIndex(f"{where} is not a JSON object: {error}") from error


def _changes(
    index: Index, top: Mapping[str, msgspec.Raw], info: dict[str, Any], context: Context
) -> dict[str, msgspec.Raw]:
    changes: dict[str, msgspec.Raw] = {}
    shown = shown_info(index, info, context)
    if shown != info:
        changes["info"] = _raw(shown)
    if "base_url" in info and bytes(top.get("repodata_version", b"")) == b"2":
        changes["repodata_version"] = _raw(1)  # CEP 15 raised it for base_url alone
    newer = _rewritten_wheels(index, top)
    if newer is not None:
        changes["v3"] = newer
    return changes


def shown_info(index: Index, info: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`info` as clients get it, in repodata and in the shard index alike (CEP 42)."""
    shown = {key: value for key, value in info.items() if key != "base_url"}
    relations = shown.get("channel_relations")
    if isinstance(relations, dict):
        kept = {
            name: target
            for name, target in relations.items()
            if isinstance(target, str) and _is_served(index, target, context)
        }
        if kept:
            shown["channel_relations"] = kept
        else:
            del shown["channel_relations"]
    elif relations is not None:
        del shown["channel_relations"]
    return shown


def _is_served(index: Index, target: str, context: Context) -> bool:
    """Whether a relation, relative to the channel, leads to a mirror of ours."""
    subdir = index.path.rpartition("/")[0]
    label = subdir.rpartition("/")[0]
    channel = f"/{context.mirror}/" + (f"{label}/" if label else "")
    reached = urlsplit(urljoin(f"https://us.example.org{channel}", target.rstrip("/") + "/"))
    kind, _, name = reached.path.strip("/").partition("/")
    ours = reached.netloc == "us.example.org" and target.startswith("../")
    return ours and kind == context.mirror.partition("/")[0] and name in context.siblings


def _rewritten_wheels(index: Index, top: Mapping[str, msgspec.Raw]) -> msgspec.Raw | None:
    """`v3` with every wheel's URL made a bare file name; None where nothing changes."""
    if "v3" not in top:
        return None
    newer = objects(top["v3"], f"{index.path}, v3")
    if "whl" not in newer:
        return None
    records = objects(newer["whl"], f"{index.path}, v3.whl")
    changed = False
    for stem, raw in records.items():
        wheel = _values(raw, f"{index.path}, v3.whl, {stem}")
        url = wheel.get("url")
        if not isinstance(url, str):
            continue
        name = wheel_name(stem, url, None)
        if name != url:
            records[stem] = _raw({**wheel, "url": name})
            changed = True
    if not changed:
        return None
    return msgspec.Raw(joined({**newer, "whl": msgspec.Raw(joined(records))}))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _quoted(key: str) -> bytes:
    return msgspec.json.encode(key)[1:-1]
