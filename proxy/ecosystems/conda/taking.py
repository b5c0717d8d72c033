"""What the batches of an index came to, noted for the next generation, which takes it over.

Between two generations one record in a thousand changes, and between two moments of a cool-down
fewer come of age. A batch whose text stands in the new index as it is, and of which no verdict can
have changed, is not read again: its rows, its verdicts and its places in the shards stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from proxy.core import first_seen
from proxy.core.policy import Effect, Verdict
from proxy.core.rows import Table
from proxy.ecosystems.base import ROWS, Body, Context
from proxy.ecosystems.conda.batches import BETWEEN, SIZE, WHOLE, Batch
from proxy.ecosystems.conda.recipe import RECIPE
from proxy.ecosystems.conda.shards import Piece
from proxy.errors import StorageError

FORM = "batches"
"""The form of an index that the notes are; never served."""

_DIGEST = 16  # bytes that stand for a batch's text
_HEAD = 96  # bytes by which the beginning of a batch is looked for
_NEAR = 4 * SIZE  # bytes after a batch that changed in which the next one is looked for
_FAR = 64 * SIZE
_AHEAD = (*range(16), 32, 64, 128, 256, 512, 1024)  # those of the next batches that are looked for

_encode = msgspec.msgpack.Encoder().encode
_keys = msgspec.msgpack.Decoder(list[str]).decode


class Denied(msgspec.Struct, frozen=True, array_like=True):
    """Records of a batch that one verdict hides, by their keys."""

    effect: str
    rule: str
    reason: str
    keys: list[str]

    @property
    def verdict(self) -> Verdict:
        return Verdict(effect=Effect(self.effect), rule=self.rule, reason=self.reason)


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """One batch: what its text was, and what it came to.

    `until` is the first moment at which a verdict on one of its records may be another one (seconds
    since the epoch). `names` are the package names of the records that are shown, `places` where
    their text begins in the batch and how long it is, in pairs.
    """

    size: int
    head: bytes
    digest: bytes
    count: int
    packed_keys: bytes
    until: float
    names: list[str]
    places: list[int]
    denied: list[Denied]

    @property
    def keys(self) -> list[str]:
        """The keys of all its records."""
        return _keys(self.packed_keys)

    @property
    def hidden(self) -> dict[str, Verdict]:
        """The verdicts that hide some of its records."""
        return {key: one.verdict for one in self.denied for key in one.keys}

    def pieces(self, table: memoryview, start: int) -> list[tuple[str, Piece]]:
        """What is shown of it where it stands at *start* in *table*."""
        places = zip(self.places[::2], self.places[1::2], strict=True)
        return [
            (name, Piece(table[start + at : start + at + length], start + at))
            for name, (at, length) in zip(self.names, places, strict=True)
        ]


def noted(
    batch: Batch[Any],
    keys: Sequence[str],
    pieces: Sequence[tuple[str, Piece]],
    denied: Mapping[str, Verdict],
    until: float,
) -> Noted | None:
    """The note on *batch*; None: its text does not stand in the index."""
    text, start = batch.text, batch.at
    if start < 0 or any(piece.at < 0 for _, piece in pieces):
        return None
    by_verdict: dict[Verdict, list[str]] = {}
    for key, verdict in denied.items():
        by_verdict.setdefault(verdict, []).append(key)
    return Noted(
        size=len(text),
        head=bytes(text[:_HEAD]),
        digest=_digest(text),
        count=len(keys),
        packed_keys=_encode(keys),
        until=until,
        names=[name for name, _ in pieces],
        places=[n for _, piece in pieces for n in (piece.at - start, len(piece.text))],
        denied=[
            Denied(one.effect.value, one.rule, one.reason, some) for one, some in by_verdict.items()
        ],
    )


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """All batches of one generation, by the keys that lead to their tables, joined by slashes, and
    what their verdicts depend on besides their text.

    `newest` stands for a record that nobody had seen before this generation.
    """

    recipe: int = RECIPE
    basis: str
    base_url: str
    moment: float
    sight: tuple[str, float]
    newest: bytes | None
    tables: dict[str, list[Noted]]


_notes = msgspec.msgpack.Decoder(Notes).decode


def _basis(context: Context) -> str:
    """What stands for all that decides on a record, but for the time."""
    return replace(context, moment=0.0, first_seen=None, seen_at=0.0).digest


def encoded(
    context: Context,
    base_url: str,
    tables: Mapping[tuple[str, ...], list[Noted] | None],
    newest: bytes | None,
) -> bytes:
    """The notes on a generation that is seen in *context*; nothing where a table has none."""
    known = {"/".join(path): some for path, some in tables.items() if some is not None}
    if len(known) < len(tables):
        return b""
    notes = Notes(
        basis=_basis(context),
        base_url=base_url,
        moment=context.moment,
        sight=_sight(context),
        newest=newest,
        tables=known,
    )
    return _encode(notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What can be taken over of an earlier generation: its notes and its row table."""

    moment: float  # of the generation to come
    notes: Notes
    rows: Table

    def plan(self, path: tuple[str, ...], text: memoryview) -> list[Stretch]:
        """See `stretches`, of the table that *path* leads to."""
        return list(stretches(text, self.notes.tables.get("/".join(path), ()), self.moment))

    def gone(
        self, plans: Mapping[tuple[str, ...], Sequence[Stretch]]
    ) -> Iterator[tuple[str, Noted]]:
        """What *plans* do not take over, with what the keys lack of file names."""
        for path, known in self.notes.tables.items():
            *above, name = keys = path.split("/")
            same = {id(one.same) for one in plans.get(tuple(keys), ())}
            yield from ((f".{name}" if above else "", one) for one in known if id(one) not in same)


def earlier(body: Body, context: Context) -> Earlier | None:
    """What of the generation that came with *body* holds in *context*; None: nothing."""
    notes, rows = body.earlier.get(FORM), body.earlier.get(ROWS)
    if not notes or rows is None or context.gate is not None:
        return None
    try:
        found = _notes(notes)
        table = Table(rows)
    except (msgspec.MsgspecError, UnicodeDecodeError, StorageError):  # of another version, damaged
        return None
    holds = (
        found.recipe == RECIPE
        and found.basis == _basis(context)
        and found.moment <= context.moment
        and _continues(found, body, context)
        and len(table) == sum(one.count for some in found.tables.values() for one in some)
    )
    return Earlier(moment=context.moment, notes=found, rows=table) if holds else None


def _continues(notes: Notes, body: Body, context: Context) -> bool:
    """Whether files have now the dates by which they were judged then: the table of first sights
    is the same, or the next.
    """
    if notes.newest is None or notes.sight == _sight(context):
        return True
    return first_seen.holds(body.first_seen, notes.newest)


def _sight(context: Context) -> tuple[str, float]:
    return context.first_seen or "", context.seen_at


class Stretch(NamedTuple):
    """A stretch of a table's text: a batch that stands there as it did, or (None) what is to be
    read.
    """

    start: int
    stop: int
    same: Noted | None


def stretches(text: memoryview, known: Sequence[Noted], moment: float) -> Iterator[Stretch]:
    """All of the table *text*, and what of it is *known*, as of *moment*."""
    at, end, _ = WHOLE.indices(len(text))
    waiting = at  # from here on nothing has been told
    place = 0
    while place < len(known):
        found = _next(text, at, known, place)
        if found is None:
            break
        start, place = found
        one = known[place]
        at = start + one.size
        place += 1
        if moment >= one.until:
            continue
        if bytes(text[waiting:start]).strip(BETWEEN):
            yield Stretch(waiting, start, None)
        yield Stretch(start, at, one)
        waiting = at
    if bytes(text[waiting:end]).strip(BETWEEN):
        yield Stretch(waiting, end, None)


def _next(text: memoryview, at: int, known: Sequence[Noted], place: int) -> tuple[int, int] | None:
    """Where, from *at* on, one of the batches from *place* on stands, and which; None: none does
    nearby.
    """
    head = bytes(text[at : at + len(BETWEEN)])
    start = at + len(head) - len(head.lstrip(BETWEEN))
    if _is_at(text, start, known[place]):
        return start, place
    for reach in (_NEAR, _FAR):
        piece = bytes(text[at : at + reach])
        for number in [place + ahead for ahead in _AHEAD if place + ahead < len(known)]:
            one = known[number]
            found = piece.find(one.head)
            if found >= 0 and _is_at(text, at + found, one):
                return at + found, number
    return None


def _is_at(text: memoryview, start: int, one: Noted) -> bool:
    piece = text[start : start + one.size]
    return len(piece) == one.size and _digest(piece) == one.digest


def _digest(text: memoryview) -> bytes:
    return hashlib.sha256(text).digest()[:_DIGEST]
