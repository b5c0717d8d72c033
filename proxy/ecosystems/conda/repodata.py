"""repodata.json read at its top level only, so that every record survives byte for byte.

Only what would lead clients past this proxy is changed: `base_url` goes (CEP 15), relations to
channels that are not served here go (CEP 42), and wheels' URLs become bare file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import msgspec

from proxy.core.model import Index
from proxy.core.rows import Row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda import relations
from proxy.ecosystems.conda.records import Record, records, row
from proxy.ecosystems.conda.text import EMPTY, objects, pieces, plain_text, values
from proxy.ecosystems.conda.wheels import link, rewritten, wheels
from proxy.errors import BadIndex

_TABLES = ("packages", "packages.conda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repodata:
    """One index, split at its top level. `text` is the JSON that clients get, in pieces."""

    sent: Mapping[str, msgspec.Raw]  # as upstream sent it
    top: Mapping[str, msgspec.Raw]  # as clients get it
    info: Mapping[str, Any]  # as upstream sent it
    url: str  # what upstream's relative addresses refer to
    text: Sequence[bytes | memoryview]
    base_url: str | None  # upstream's, absolute; None where packages lie beside the index
    changed: bool  # whether `text` differs from what upstream sent


def read(index: Index, body: Body, context: Context) -> Repodata:
    """Split and, where need be, rewrite an index. Raises BadIndex."""
    text = plain_text(index, body)
    top = objects(text, index.path)
    info = values(top.get("info"), f"{index.path}, info")
    base = info.get("base_url")
    if base is not None and not isinstance(base, str):
        raise BadIndex(f"{index.path}: info.base_url is not a text")
    changes = _changes(index, top, info, context)
    shown = {**top, **changes}
    where = f"{index.path}, info.base_url"
    absolute = _absolute(body.url, base.rstrip("/") + "/", where) if base else None
    return Repodata(
        sent=top,
        top=shown,
        info=info,
        url=absolute or body.url,
        text=pieces(shown) if changes else [text],
        base_url=absolute,
        changed=bool(changes) or text is EMPTY,
    )


def rows(index: Index, repodata: Repodata) -> Iterator[tuple[str, Row]]:
    """Every file that the index lists, by file name. Raises BadIndex."""
    base = repodata.base_url
    for table in _TABLES:
        found = records(repodata.sent.get(table), Record, f"{index.path}, {table}")
        for filename, record in found.items():
            yield filename, row(record, base and base + link(filename))
    newer = objects(repodata.sent["v3"], f"{index.path}, v3") if "v3" in repodata.sent else {}
    for kind in ("tar.bz2", "conda"):  # keyed by file name without its ending (CEP 48)
        for stem, record in records(newer.get(kind), Record, f"{index.path}, v3.{kind}").items():
            filename = f"{stem}.{kind}"
            yield filename, row(record, base and base + link(filename))
    for stem, (filename, wheel) in wheels(newer, f"{index.path}, v3").items():
        where = f"{index.path}, v3.whl, {stem}"
        yield filename, row(wheel, _absolute(repodata.url, wheel.url or link(filename), where))


def shown_info(index: Index, info: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`info` as clients get it, in repodata and in the shard index alike (CEP 42)."""
    shown = {key: value for key, value in info.items() if key != "base_url"}
    if "channel_relations" in shown:
        kept = relations.kept(index, shown["channel_relations"], context)
        if kept:
            shown["channel_relations"] = kept
        else:
            del shown["channel_relations"]
    return shown


def _changes(
    index: Index, top: Mapping[str, msgspec.Raw], info: Mapping[str, Any], context: Context
) -> dict[str, msgspec.Raw]:
    changes: dict[str, msgspec.Raw] = {}
    shown = shown_info(index, info, context)
    if shown != info:
        changes["info"] = _raw(shown)
    if "base_url" in info and bytes(top.get("repodata_version", b"")) == b"2":
        changes["repodata_version"] = _raw(1)  # CEP 15 raised it for base_url alone
    if "v3" in top:
        newer = objects(top["v3"], f"{index.path}, v3")
        if (changed := rewritten(newer, f"{index.path}, v3")) is not None:
            changes["v3"] = changed
    return changes


def _absolute(base: str, reference: str, where: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError as error:
        raise BadIndex(f"{where}: {reference!r} is not a URL: {error}") from error


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
