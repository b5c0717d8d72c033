"""Wheels in a channel: records under `v3.whl`, as released clients read them; no CEP has them yet.

Their files may be anywhere. Clients are given a bare file name beside the index; where the file
is, its row remembers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

import msgspec

from proxy.ecosystems.conda.records import Judgeable, records
from proxy.ecosystems.conda.text import values
from proxy.errors import BadIndex

_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+\.whl")
# What stands in a file name as it is (RFC 3986 section 3.3), but for the colon of a scheme.
_SAFE = "!$&'()*+,;=@~"


class Wheel(Judgeable, gc=False):
    """The record of a wheel."""

    url: str | None = None
    fn: str | None = None


def wheels(newer: Mapping[str, msgspec.Raw], where: str) -> dict[str, tuple[str, Wheel]]:
    """The wheels in `v3` by key, each with the file name that clients ask for. Raises BadIndex.

    Two that have one name in different places upstream would be one file here: the later one is
    named after its key.
    """
    found: dict[str, tuple[str, Wheel]] = {}
    places: dict[str, str | None] = {}
    for stem, wheel in records(newer.get("whl"), Wheel, f"{where}.whl").items():
        name = _filename(stem, wheel, f"{where}.whl, {stem}")
        if places.setdefault(name, wheel.url) != wheel.url:
            name = f"{stem}.whl"
            places[name] = wheel.url
        found[stem] = name, wheel
    return found


def link(filename: str) -> str:
    """*filename* as a relative URL."""
    return quote(filename, safe=_SAFE)


def rewritten(
    found: Mapping[str, tuple[str, Wheel]], table: Mapping[str, msgspec.Raw], where: str
) -> dict[str, msgspec.Raw]:
    """The records of *table* whose URL is not a bare file name, with one that is."""
    shown = {
        stem: link(name)
        for stem, (name, wheel) in found.items()
        if wheel.url is not None and wheel.url != link(name)
    }
    made: dict[str, msgspec.Raw] = {}
    for stem, url in shown.items():
        fields = values(table[stem], f"{where}, {stem}")
        made[stem] = msgspec.Raw(msgspec.json.encode({**fields, "url": url}))
    return made


def _filename(stem: str, wheel: Wheel, where: str) -> str:
    try:
        last = urlsplit(wheel.url).path.rpartition("/")[2] if wheel.url else None
    except ValueError as error:
        raise BadIndex(f"{where}: {wheel.url!r} is not a URL: {error}") from error
    name = wheel.fn or "" if last is None else unquote(last)
    return name if _NAME.fullmatch(name) else f"{stem}.whl"
