"""Where upstream has a file, and where we serve it.

The served path has the shape `packages/aa/bb/<60 hex>/<file>`: lock files store file URLs, and
with one shape they are converted by replacing the host. An upstream path of that shape keeps
its digits; others get them from the file's SHA-256, else from the BLAKE2b of the address. A file
whose name does not tell its project has the project in front (`packages/<project>/aa/bb/…`), so
that the index which lists it is always found from the path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from proxy.ecosystems.pypi import names

_SHAPE = r"([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})"
_UPSTREAM = re.compile(rf"/packages/(?:[a-z0-9-]+/)?{_SHAPE}/[^/]+\Z")
_SERVED = re.compile(rf"packages/(?:([a-z0-9-]+)/)?{_SHAPE}/([^/]+)")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]+)([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_PLAIN_HOST = re.compile(r"[a-z0-9.-]+", re.IGNORECASE)
_UNSAFE = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_RESERVED = "%/:?#[]@!$&'()*+,;=~"  # what may stand in a URL and means something there
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Link(NamedTuple):
    """A file's absolute address upstream without its fragment: up to the query, and the query."""

    path: str
    query: str

    @property
    def url(self) -> str:
        return self.path + self.query

    def beside(self, ending: str) -> str:
        """The address of a companion: *ending* belongs to the path, not to the query."""
        return self.path + ending + self.query

    @property
    def filename(self) -> str | None:
        """The last segment of the path, decoded; None where it is not UTF-8."""
        try:
            return unquote(self.path.rpartition("/")[2], errors="strict")
        except UnicodeDecodeError:
            return None


class Place(NamedTuple):
    """A served path, understood. `project` is None where neither path nor name tells it."""

    project: str | None
    filename: str


def resolved(reference: str, base: str) -> Link | None:
    """Where *reference*, found on the page at *base*, leads; None where no file can be there."""
    reference = reference.strip()
    try:
        found = _ABSOLUTE.match(reference)
        if found is None:
            found = _ABSOLUTE.match(urljoin(base, reference))
        if found is None or not _is_authority(found[2]):
            return None
    except ValueError:  # an address that urllib refuses to split
        return None
    path, query = f"{found[1].lower()}://{found[2]}{found[3]}", found[4] or ""
    if _UNSAFE.search(path) or _UNSAFE.search(query):
        path, query = quote(path, safe=_RESERVED), quote(query, safe=_RESERVED)
    return Link(path, query)


def _is_authority(text: str) -> bool:
    if _PLAIN_HOST.fullmatch(text):
        return True
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0  # `port` raises ValueError


def served(link: Link, filename: str, hashes: Mapping[str, str], project: str) -> str:
    """The path, below the mirror, at which we serve *project*'s *filename*."""
    found = _UPSTREAM.search(link.path)
    digits = "/".join(found.groups()) if found else _digits(link, hashes)
    owner = "" if names.project_of(filename) == project else f"{project}/"
    return f"packages/{owner}{digits}/{filename}"


def _digits(link: Link, hashes: Mapping[str, str]) -> str:
    digest = hashes.get("sha256", "").lower()
    if not _SHA256.fullmatch(digest):
        # Without the query, which may be a signature that is another one each time.
        digest = hashlib.blake2b(link.path.encode(), digest_size=32).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def place(path: str) -> Place | None:
    """Read a served path (of a file or of its companion); None where it is none."""
    found = _SERVED.fullmatch(path)
    if found is None:
        return None
    filename = found[5]
    project = found[1] or names.project_of(names.without_companion(filename))
    return Place(project, filename)


def relative(path: str, depth: int = 2) -> str:
    """A served path as a page that lies *depth* folders below the mirror refers to it.

    Everything but unreserved characters is encoded: the `+` of local versions is `%2B`.
    """
    return "../" * depth + quote(path, safe="/")
