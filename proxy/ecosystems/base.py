"""The one protocol a packaging ecosystem fills in. Everything in it is pure: bytes to bytes.

`classify` runs on the event loop for every request, so it only looks at the path. `render`
runs in another process for large indexes: its arguments and results are plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

from proxy.core.active import Scope
from proxy.core.advisories import Advisories
from proxy.core.digest import Digest, digest_of
from proxy.core.model import Index, Resource
from proxy.core.policy import Leaf, Policy, Verdict

ROWS = "rows"
"""The form every index that lists files has: its row table (`proxy.core.rows`), never served."""

REFUSAL = "refusal"
"""The form of an index that lists files by the rows of another one, and is refused where that hides
all it is about: a table of the row `WHOLE`, or of none. Never served."""

WHOLE = ""
"""The row that says of an index as a whole that it is refused."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a view depends on besides the index's own bytes. Its digest is part of a view's name.

    `siblings` are the names of the mirrors of the same type that are served here (a channel
    may refer to its siblings by relative links). `policy` is the mirror's, without the rules
    that are over; `moment` is what ages are reckoned from (seconds since the epoch; 0 where the
    policy has no ages). `first_seen` names the table of when files were first seen here
    (`proxy.core.first_seen`) up to the generation before this one, and `seen_at` is when this one
    came; without a table it is the first one, whose files are as old as they say. `gate` names
    the row table of the index that decides for this one what it shows, `gates` those of the indexes
    that this one sums up, by their paths; `closure` the table of what allow-lists keep with all
    that it needs. `advisories` are those
    that concern the index; None: nothing is known of any. `here` is the table of its files that are
    here (`proxy.core.here`), for a mirror that is offline and lists nothing else.
    """

    mirror: str
    siblings: frozenset[str] = field(default_factory=frozenset)
    policy: Policy | None = None
    moment: float = 0.0
    first_seen: Digest | None = None
    seen_at: float = 0.0
    gate: Digest | None = None
    gates: tuple[tuple[str, Digest], ...] = ()
    closure: Digest | None = None
    advisories: Advisories | None = None
    here: bytes | None = None

    @cached_property
    def digest(self) -> Digest:
        lines = [self.mirror, *sorted(self.siblings)]
        if self.policy is not None:
            lines += ["policy", self.policy.digest, f"{self.moment:.0f}"]
        if self.seen_at:
            lines += ["first seen", self.first_seen or "", f"{self.seen_at:.0f}"]
        if self.advisories is not None:
            lines += ["advisories", self.advisories.digest]
        if self.closure is not None:
            lines += ["closure", self.closure]
        if self.here is not None:
            lines += ["here", digest_of(self.here)]
        if self.gate is not None:
            lines += ["gate", self.gate]
        lines += [f"gate {path} {rows}" for path, rows in self.gates]
        return digest_of("\n".join(lines).encode())


T = TypeVar("T")


class Beside(Protocol):
    """Begins work that is not Python's, maybe meanwhile, and gives what waits for its result."""

    def __call__(self, work: Callable[[], T], /) -> Callable[[], T]: ...


def when_asked(work: Callable[[], T], /) -> Callable[[], T]:
    """Nothing is done meanwhile."""
    return work


Claim = Callable[[], bool]
"""Whether one more share of some work, of which there is a number, is for whoever asks."""

Work = Callable[[Claim], Iterable[bytes | memoryview]]
"""Work that does the shares that it claims, and gives what they came to."""


class Aside(Protocol):
    """Begins work in another process that has all that this one has.

    Gives this process's claim on the *shares* that both divide as they get on with them, and what
    waits for the other's result: its bytes, or None where it failed, for whatever reason.
    """

    def __call__(
        self, work: Work, /, *, shares: int
    ) -> tuple[Claim, Callable[[], memoryview | None]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An index as upstream sent it.

    `source` is the `Source.path` that answered (so a decoder can be chosen by its ending),
    `media_type` upstream's Content-Type without parameters, `url` what relative links refer to.
    `earlier` are forms of one earlier generation, which may be gone, to take over from.
    """

    content: bytes | memoryview
    source: str
    media_type: str
    url: str
    first_seen: bytes | memoryview = b""  # the tables that the context names
    gate: bytes | memoryview | None = None
    gates: Mapping[str, bytes | memoryview] = field(default_factory=dict)
    closure: bytes | memoryview | None = None
    supplement: Body | None = None  # without a URL
    earlier: Mapping[str, bytes | memoryview] = field(default_factory=dict)
    beside: Beside = when_asked
    aside: Aside | None = None  # where there is another processor for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One form of an index: its name and its bytes in pieces, consumed once and in order.

    `hidden`: with the rows, how many files the policy hides, by rule. `apart`: making the bytes is
    mostly not Python's work, so that it can be done while the next forms are made.
    """

    form: str
    chunks: Iterable[bytes | memoryview]
    hidden: Mapping[str, int] = field(default_factory=dict)
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a policy says of one file of an index. `published`: seconds since the epoch.

    `row` is its key in the index's row table, where that is not the filename.
    """

    filename: str
    name: str
    version: str
    published: float | None
    verdict: Verdict
    row: str = ""


@dataclass(frozen=True, slots=True)
class Advised:
    """OSV's name of an ecosystem (`PyPI`), and one package's name in it; None: every package."""

    ecosystem: str
    package: str | None = None


class Ecosystem(Protocol):
    """What the gateway asks of conda, PyPI, CRAN or a plain tree of files."""

    name: str
    recipe: int  # raised whenever the same input would be rendered differently than before

    def classify(self, mirror: str, path: str) -> Resource:
        """Say what *path* (decoded, without leading slash) means in *mirror* (`type/name`).

        Raises UnknownPath for what this type does not have.
        """
        ...

    def canonical(self, path: str) -> str | None:
        """The path to redirect to where *path* is another spelling of it; else None."""
        ...

    def absent_body(self, index: Index) -> bytes | None:
        """What stands for *index* where upstream has none but clients insist on one; else None."""
        ...

    def groups(self, index: Index) -> tuple[frozenset[str], ...]:
        """The names of all forms of *index*, in the groups that are rendered together."""
        ...

    def render(
        self, index: Index, body: Body, context: Context, forms: frozenset[str]
    ) -> Iterator[Rendered]:
        """Make those *forms* (one of `groups`) of *index* from upstream's *body*.

        Raises BadIndex where the body is not such an index; then nothing of it is used.
        """
        ...

    def wrong(self, leaf: Leaf) -> str | None:
        """What is wrong about a policy's condition *leaf* for mirrors of this type, and what to
        write instead: that it is malformed, or that this type's indexes can't answer it. None:
        nothing is.
        """
        ...

    def doubtful(self, leaf: Leaf) -> str | None:
        """What in a policy's condition *leaf*, which is not wrong, is likely to be a mistake,
        because nothing that is known of is called so; None: nothing is.
        """
        ...

    def judged(self, index: Index, body: Body, context: Context) -> Iterator[Judged]:
        """Every file that *index* lists, with what the context's policy says of it, in order.

        Nothing where *index* lists no files. Raises BadIndex.
        """
        ...

    def undated(self, index: Index, body: Body) -> Iterator[tuple[bytes, float | None]]:
        """The files of *index* that have no date from the server, by what stands for them in
        `proxy.core.first_seen`, each with the date to believe for one that was there when the
        index was first looked at (seconds; None: that moment itself). Raises BadIndex.
        """
        ...

    def decided_by(self, index: Index) -> Index | None:
        """The index whose rows say what *index* may show, where that is another one."""
        ...

    def sums_up(self, index: Index) -> Callable[[str], bool] | None:
        """Which indexes, by their paths, *index* sums up, so that what of theirs is hidden is to be
        left out of it; None: it is no summary.
        """
        ...

    def supplement(self, index: Index) -> Index | None:
        """The index that is put into the parts of *index*, where it is here; None: none is."""
        ...

    def companions(self, index: Index, known: Iterable[str]) -> tuple[str, ...]:
        """The paths of the indexes over which an allow-list is closed for *index*, itself among
        them; *known* are those that are here. Nothing: it lists no dependencies.
        """
        ...

    def closed(
        self, index: Index, listed: Sequence[tuple[Index, Body]], specs: Iterable[Sequence[str]]
    ) -> bytes:
        """The table of what each list of *specs* keeps of *index* and its companions, *listed*.

        Raises BadIndex.
        """
        ...

    def listed(self, member: bytes) -> Iterator[str]:
        """The files that a part of an index lists, as the rows name them. Raises BadIndex."""
        ...

    def advised(self, index: Index) -> Advised | None:
        """Whose advisories concern *index*: an ecosystem of OSV's, and the one package or all."""
        ...

    def begins(self, mirror: str, scope: Scope) -> tuple[Index, ...]:
        """The indexes that whoever wants all of *scope* reads first, those that list files and
        those that clients need beside them. Any of them may be absent upstream.
        """
        ...

    def leads(self, index: Index, body: Body) -> Iterator[Index]:
        """The indexes that *index*, which lists no files, leads to. Raises BadIndex."""
        ...

    def path(self, index: Index, row: str) -> str:
        """The path of the file that *index* lists under the key *row* of its row table."""
        ...

    def companions_of(self, row: str) -> tuple[str, ...]:
        """The keys of what clients ask for beside that file, where the row table has them."""
        ...

    def newest_first(self, versions: Iterable[str]) -> list[str]:
        """Versions in this type's order; what cannot be read as one comes last."""
        ...
