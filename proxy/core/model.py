"""The nouns every room shares: plain frozen values, no I/O, no clock.

Times are seconds since the epoch, durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.active import Active
from proxy.core.digest import Digest as Digest  # noqa: PLC0414 - passed on to all who import it here
from proxy.core.digest import digest_of as digest_of  # noqa: PLC0414 - the same
from proxy.core.policy import Policy

# -- what an operator configures ---------------------------------------------------------


class Mode(enum.Enum):
    """How a mirror gets its packages."""

    PASSIVE = "passive"  # on the first client's request
    ACTIVE = "active"  # ahead, by runs; and what they have not fetched yet as a passive one


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long what upstream sent may be reused (RFC 9111 section 4, RFC 5861), in seconds.

    `fresh_min` and `fresh_max` clamp the lifetime that upstream gives; `fresh_default`
    is used where upstream gives none at all. `offline`: upstream is never asked, and what is here
    is reused however old it is and whatever upstream once said of that.
    """

    fresh_min: float = 60.0
    fresh_max: float = 3600.0
    fresh_default: float = 600.0
    stale_while_revalidate: float = 3600.0
    stale_if_error: float = 30 * 86400.0
    negative: float = 60.0
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Our named, configured copy of one external source, served under `/<type>/<name>/`.

    `source` is an absolute URL ending in `/`; it may hold a secret (a token in its path,
    a password), so it is never shown: `proxy.core.urls.redacted` first. `policy` is the one that
    holds for it, its own include and exclude lists with it; None: everything is allowed.
    `only_present`: while it is offline its indexes list only the files that are here.
    `active` is how it is run, None for a passive one. `frozen_at`: clients see its indexes as they
    were then; None: as they are.
    """

    name: str
    type: str
    source: str = field(repr=False)
    bounds: Bounds = Bounds()
    credentials: str | None = None
    allow_hosts: frozenset[str] = frozenset()
    policy: Policy | None = None
    only_present: bool = False
    active: Active | None = None
    frozen_at: float | None = None

    @property
    def offline(self) -> bool:
        """Whether upstream is never asked."""
        return self.bounds.offline

    @property
    def lists_present(self) -> bool:
        """Whether its indexes list only what is here; a plain tree of files has none."""
        return self.offline and self.only_present and self.type != "files"

    @property
    def mode(self) -> Mode:
        """How it gets its packages."""
        return Mode.PASSIVE if self.active is None else Mode.ACTIVE

    @property
    def key(self) -> str:
        """`<type>/<name>`: unique over all mirrors, and the path it is served under."""
        return f"{self.type}/{self.name}"


# -- what a path means -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One representation of an index: its name within the ecosystem and its media type."""

    name: str
    media_type: str
    compressible: bool = True  # may carry a Content-Encoding of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where upstream has a file: a path relative to the mirror's source, or an absolute URL.

    `accept` is the Accept header, where upstream negotiates. `refused_is_missing`: a 403 to a
    request without credentials says only that there is no such file.
    """

    path: str
    accept: str | None = None
    refused_is_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A mutable list of files; clients see a rendered view of it.

    `path` names the generation ("linux-64/repodata.json", "simple/numpy/"), whatever form was
    asked for. `sources` are tried in order. `forms` are those that the request may be answered
    with, best first: one where the path decides, several where Accept does.
    """

    mirror: str
    path: str
    sources: tuple[Source, ...]
    forms: tuple[Form, ...]

    @property
    def key(self) -> str:
        return f"{self.mirror} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An immutable file that an index lists under `row`, or a companion of one (`.metadata`).

    `fallback` is where to look when the index does not list it; None: then it does not exist.
    `moved` is where upstream keeps it once another file has taken its place, `former` the path
    that it had before. Not `vouched`: its index knows no digests, and is asked only where a policy
    judges by it. `by_platform`: see `Plain`, where no digests are known.
    """

    mirror: str
    path: str
    index: Index
    row: str
    media_type: str
    fallback: Source | None = None
    moved: Artifact | None = None
    former: str | None = None
    vouched: bool = True
    by_platform: bool = False

    @property
    def key(self) -> str:
        return f"{self.mirror} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A part of a rendered index, named by its own digest (a repodata shard).

    It is a slice of the view `pack` of `index`, whose table of contents has it under `row`.
    """

    mirror: str
    path: str
    index: Index
    pack: Form
    row: str
    media_type: str

    @property
    def key(self) -> str:
        return f"{self.mirror} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A file passed through unread, under the rules of a shared HTTP cache.

    `forward` names the request headers that upstream is given, because it may vary by them.
    `anonymous`: asked for without credentials. `absent_on_error`: where upstream fails and
    nothing is stored, say "absent" at once (only for files that are never essential).
    `by_platform`: upstream may choose by the R that the User-Agent names (`proxy.core.r_agent`).
    """

    mirror: str
    path: str
    source: Source
    media_type: str | None = None
    forward: tuple[str, ...] = ()
    anonymous: bool = False
    absent_on_error: bool = False
    by_platform: bool = False

    @property
    def key(self) -> str:
        return f"{self.mirror} {self.path}"


Resource = Index | Artifact | Member | Plain


# -- what is known of a file -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an index promises of a file's bytes: its size and its digests by algorithm name."""

    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest | None:
        """The blob's name, where the index gives it."""
        value = self.hashes.get("sha256")
        return Digest(value) if value else None

    def __bool__(self) -> bool:
        return bool(self.hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a conditional request may carry (RFC 9110 section 8.8), as upstream sent it."""

    etag: str | None = None
    last_modified: str | None = None

    def __bool__(self) -> bool:
        return self.etag is not None or self.last_modified is not None

    @property
    def strong(self) -> bool:
        """Whether bytes from two answers that carry these may be joined (RFC 9110 §13.1.5)."""
        return self.etag is not None and not self.etag.startswith("W/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the catalog remembers of one upstream response; its bytes are the blob `digest`.

    A 304 replaces only the entry, never the blob. `source` is the `Source.path` that answered,
    `url` the (secret-free) address it finally came from, which relative links refer to.
    `headers` are the few response headers that are passed on, by lower-case name.
    """

    key: str
    digest: Digest
    size: int
    media_type: str
    source: str
    url: str
    validators: Validators
    checked_at: float
    fresh_for: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Upstream said that there is no such file; believed for `fresh_for` seconds."""

    key: str
    checked_at: float
    fresh_for: float
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One form of an index, rendered: a blob and what to call it."""

    key: str
    digest: Digest
    size: int
    media_type: str
    made_at: float
