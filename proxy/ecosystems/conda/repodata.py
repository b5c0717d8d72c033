"""repodata.json read at its top level only, so that every record survives byte for byte.

Only what would lead clients past this proxy is changed: `base_url` goes (CEP 15), relations to
channels that are not served here go (CEP 42), and wheels' URLs become bare file names (CEP 48).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec

from proxy.core.model import Index
from proxy.core.rows import Row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.text import EMPTY, UNREADABLE, joined, objects, plain_text
from proxy.errors import BadIndex

_TABLES = ("packages", "packages.conda")
_DIGESTS = {"sha256": re.compile(r"[0-9a-fA-F]{64}"), "md5": re.compile(r"[0-9a-fA-F]{32}")}
_WHEEL = re.compile(r"[^/\\\x00-\x1f\x7f]+\.whl")
# What stands in a file name as it is (RFC 3986 section 3.3), but for the colon of a scheme.
_SAFE = "!$&'()*+,;=@~"

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Record(msgspec.Struct, gc=False):
    """What serving a file takes of its record."""

    name: str
    size: Size | None = None
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
    where = f"{index.path}, info.base_url"
    absolute = _absolute(body.url, base.rstrip("/") + "/", where) if base else None
    return Repodata(
        sent=top,
        top=shown,
        info=info,
        url=absolute or body.url,
        text=text,
        base_url=absolute,
        changed=bool(changes) or text is EMPTY,
    )


def rows(index: Index, repodata: Repodata) -> Iterator[tuple[str, Row]]:
    """Every file that the index lists, by file name. Raises BadIndex."""
    base = repodata.base_url
    for table in _TABLES:
        for filename, record in _records(index, repodata.sent.get(table), table, Record).items():
            yield filename, _row(record, base and base + quote(filename, safe=_SAFE))
    newer = objects(repodata.sent["v3"], f"{index.path}, v3") if "v3" in repodata.sent else {}
    for kind in ("tar.bz2", "conda"):
        for stem, record in _records(index, newer.get(kind), f"v3.{kind}", Record).items():
            filename = f"{stem}.{kind}"
            yield filename, _row(record, base and base + quote(filename, safe=_SAFE))
    for stem, wheel in _records(index, newer.get("whl"), "v3.whl", Wheel).items():
        where = f"{index.path}, v3.whl, {stem}"
        filename = wheel_name(stem, wheel.url, wheel.fn, where)
        link = wheel.url or quote(filename, safe=_SAFE)
        yield filename, _row(wheel, _absolute(repodata.url, link, where))


def wheel_name(stem: str, url: str | None, fn: str | None, where: str) -> str:
    """The file name that clients ask us for. Raises BadIndex."""
    try:
        name = unquote(urlsplit(url).path.rpartition("/")[2]) if url else fn or ""
    except ValueError as error:
        raise BadIndex(f"{where}: {url!r} is not a URL: {error}") from error
    return name if _WHEEL.fullmatch(name) else f"{stem}.whl"


def _absolute(base: str, link: str, where: str) -> str:
    try:
        return urljoin(base, link)
    except ValueError as error:
        raise BadIndex(f"{where}: {link!r} is not a URL: {error}") from error


def _row(record: Record, url: str | None) -> Row:
    return Row(url=url, size=record.size, hashes=_hashes(record))


def _hashes(record: Record) -> dict[str, str]:
    """The better of the digests; what is not one says nothing of the file."""
    if digest := hex_digest("sha256", record.sha256):
        return {"sha256": digest}
    if digest := hex_digest("md5", record.md5):
        return {"md5": digest}
    return {}


def hex_digest(algorithm: str, value: object) -> str | None:
    """*value* in lower case if it is a digest of that algorithm in hex; else None."""
    if isinstance(value, str) and _DIGESTS[algorithm].fullmatch(value):
        return value.lower()
    return None


def _records(index: Index, raw: msgspec.Raw | None, table: str, kind: type[Any]) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, kind])  # type: ignore[valid-type]
    except UNREADABLE as error:
        raise BadIndex(f"{index.path}, {table}: {error}") from error
    return found


def _values(raw: msgspec.Raw | None, where: str) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE as error:
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
    """Whether a relation, relative to the channel, leads to a mirror of ours or a label of one."""
    if not target.startswith("../"):  # CEP 42 allows no other
        return False
    label = index.path.rpartition("/")[0].rpartition("/")[0]
    channel = f"/{context.mirror}/" + (f"{label}/" if label else "")
    reached = urljoin(channel, target).strip("/")
    kind, _, name = reached.partition("/")
    mirror = name.partition("/label/")[0]
    return kind == context.mirror.partition("/")[0] and mirror in context.siblings


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
        where = f"{index.path}, v3.whl, {stem}"
        wheel = _values(raw, where)
        url = wheel.get("url")
        if not isinstance(url, str):
            continue
        shown = quote(wheel_name(stem, url, None, where), safe=_SAFE)
        if shown != url:
            records[stem] = _raw({**wheel, "url": shown})
            changed = True
    if not changed:
        return None
    return msgspec.Raw(joined({**newer, "whl": msgspec.Raw(joined(records))}))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
