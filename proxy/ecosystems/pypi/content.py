"""What upstream sent, as what it is: a JSON document or an HTML text, of a version we know.

The first character decides, because upstreams' Content-Types lie (`application/octet-stream`
from corporate stores, `text/plain` from static hosts); the type only where that says nothing.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.ecosystems.base import Body
from proxy.errors import BadIndex

_BOM = b"\xef\xbb\xbf"
_PEEK = 4096  # bytes in which a body shows what it is
_VERSION = re.compile(r"(\d{1,4})(?:\.(\d{1,4}))?")
_MEDIA_VERSION = re.compile(r"application/vnd\.pypi\.simple\.v(\d+)\+")


def is_json(body: Body) -> bool:
    """Whether *body* is JSON rather than HTML. Raises BadIndex where it is empty or binary."""
    found = _MEDIA_VERSION.match(body.media_type.lower())
    if found and found[1] != "1":
        raise BadIndex(f"upstream speaks version {found[1]} of the Simple API; we read version 1")
    start = bytes(body.content[:_PEEK]).removeprefix(_BOM).lstrip()
    if not start:
        raise BadIndex("the body is empty")
    if start[:1] in (b"{", b"["):
        return True
    if start[:1] == b"<":
        return False
    if body.media_type.lower().endswith("html"):
        return False
    shown = body.media_type or "no media type"
    raise BadIndex(f"the body is neither JSON nor HTML ({shown}; it begins with {start[:16]!r})")


def decoded(body: Body, kind: Any = Any) -> Any:
    """The body's JSON value, as *kind*. Raises BadIndex."""
    try:
        return msgspec.json.decode(without_bom(body), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadIndex(f"the body is not the JSON it should be: {error}") from error
    except RecursionError as error:
        raise BadIndex("the body's JSON is nested too deeply") from error


def text(body: Body) -> str:
    """The body's text. Raises BadIndex where it is not UTF-8."""
    try:
        return str(without_bom(body), "utf-8")
    except UnicodeDecodeError as error:
        raise BadIndex(f"the body is not UTF-8: {error}") from error


def without_bom(body: Body) -> bytes | memoryview:
    """The body without the byte order mark that some editors put in front."""
    return body.content[len(_BOM) :] if bytes(body.content[:3]) == _BOM else body.content


def document(body: Body) -> dict[str, Any]:
    """The body's JSON object, unknown keys and their order kept. Raises BadIndex."""
    value = decoded(body)
    if not isinstance(value, dict):
        raise BadIndex(f"the body is a JSON {type(value).__name__}, not an object")
    return value


def minor_version(version: object) -> int:
    """The minor number of the version of the Simple API that upstream claims.

    Raises BadIndex for another major version than 1, which PEP 629 has every client refuse.
    """
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        raise BadIndex(f"upstream gives {version!r} as the version of the Simple API")
    if found[1] != "1":
        raise BadIndex(f"upstream speaks version {version} of the Simple API; we read version 1")
    return int(found[2] or 0)
