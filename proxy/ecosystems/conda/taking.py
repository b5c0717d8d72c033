"""What the batches of an index came to, noted for the next generation, which takes it over.

Between two generations one record in a thousand changes, and between two moments of a cool-down
fewer come of age. A batch whose text stands in the new index as it is, and of which no verdict can
have changed, is not read again: its rows, its verdicts and its places in the shards stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from proxy.core import first_seen
from proxy.core.blocks import Block, Blocks, opened
from proxy.core.policy import Effect, Verdict
from proxy.ecosystems.base import ROWS, Body, Context
from proxy.ecosystems.conda.batches import BETWEEN, SIZE, WHOLE, Batch
from proxy.ecosystems.conda.dating import LOOKBACK, Term
from proxy.ecosystems.conda.marks import mark
from proxy.ecosystems.conda.recipe import RECIPE
from proxy.ecosystems.conda.shards import Piece
from proxy.errors import StorageError

FORM = "batches"
"""The form of an index that the notes are; never served."""

_HEAD = 96  # bytes by which the beginning of a batch is looked for
_NEAR = 4 * SIZE  # bytes after a batch that changed in which the next one is looked for
_FAR = 64 * SIZE
_AHEAD = (*range(16), 32, 64, 128, 256, 512, 1024)  # those of the next batches that are looked for

_encode = msgspec.msgpack.Encoder().encode


class Denied(msgspec.Struct, frozen=True, array_like=True):
    """Records of a batch that one verdict hides, by their keys."""

    effect: str
    rule: str
    reason: str
    until: int | None
    keys: list[str]

    @property
    def verdict(self) -> Verdict:
        return Verdict(
            effect=Effect(self.effect), rule=self.rule, reason=self.reason, until=self.until
        )


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """One batch: what its text was, and what it came to.

    `since` and `until` are the moments between which the verdicts on its records are the same (see
    `conda.dating`). `names` are the package names of the records that are shown, `places` where
    their text begins in the batch and how long it is, in pairs; `kept` are such pairs of all that
    is shown.
    """

    size: int
    head: bytes
    mark: bytes
    since: float
    until: float
    names: list[str]
    places: list[int]
    kept: list[int]
    denied: list[Denied]

    @property
    def hidden(self) -> dict[str, Verdict]:
        """The verdicts that hide some of its records."""
        found: dict[str, Verdict] = {}
        for one in self.denied:
            found |= dict.fromkeys(one.keys, one.verdict)
        return found

    def of(self, names: AbstractSet[str], table: memoryview, start: int) -> list[tuple[str, Piece]]:
        """What is shown of it with one of *names*, where it stands at *start* in *table*."""
        if names.isdisjoint(self.names):
            return []
        pieces = zip(self.names, _pieces(self.places, table, start), strict=True)
        return [(name, piece) for name, piece in pieces if name in names]

    def kept_of(self, table: memoryview, start: int) -> list[Piece]:
        """The text of all that is shown of it."""
        return _pieces(self.kept, table, start)


def _pieces(places: Sequence[int], table: memoryview, start: int) -> list[Piece]:
    return [
        Piece(table[start + at : start + at + length], start + at)
        for at, length in zip(places[::2], places[1::2], strict=True)
    ]


def noted(
    batch: Batch[Any],
    pieces: Sequence[tuple[str, Piece]],
    kept: Sequence[Piece],
    denied: Mapping[str, Verdict],
    term: Term,
) -> Noted | None:
    """The note on *batch*, of which *kept* is shown; None: its text does not stand in the index."""
    text, start = batch.text, batch.at
    if start < 0 or any(piece.at < 0 for _, piece in pieces):
        return None
    by_verdict: dict[Verdict, list[str]] = {}
    for key, verdict in denied.items():
        by_verdict.setdefault(verdict, []).append(key)
    return Noted(
        size=len(text),
        head=bytes(text[:_HEAD]),
        mark=mark((text,)),
        since=term.since,
        until=term.until,
        names=[name for name, _ in pieces],
        places=[n for _, piece in pieces for n in (piece.at - start, len(piece.text))],
        kept=[n for piece in kept for n in (piece.at - start, len(piece.text))],
        denied=[
            Denied(one.effect.value, one.rule, one.reason, one.until, some)
            for one, some in by_verdict.items()
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


class _Head(msgspec.Struct):
    """Of notes what is looked at first: most that do not hold have another basis."""

    recipe: int
    basis: str


_notes = msgspec.msgpack.Decoder(Notes).decode
_head = msgspec.msgpack.Decoder(_Head).decode


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
    """What can be taken over of an earlier generation: its notes, and the blocks of its rows, one
    for each batch.
    """

    moment: float  # of the generation to come
    notes: Notes
    blocks: Mapping[str, Sequence[Block]]

    def plan(self, path: tuple[str, ...], text: memoryview) -> list[Stretch]:
        """See `stretches`, of the table that *path* leads to."""
        return list(stretches(text, self.notes.tables.get("/".join(path), ()), self.moment))

    def batch(self, path: tuple[str, ...], number: int) -> tuple[Noted, Block]:
        """The batch with that number of the table that *path* leads to."""
        name = "/".join(path)
        return self.notes.tables[name][number], self.blocks[name][number]

    def gone(self, plans: Mapping[tuple[str, ...], Sequence[Stretch]]) -> Iterator[Noted]:
        """What *plans* do not take over."""
        for path, known in self.notes.tables.items():
            same = {one.same for one in plans.get(tuple(path.split("/")), ())}
            yield from (one for number, one in enumerate(known) if number not in same)


def earlier(body: Body, context: Context) -> Earlier | None:
    """What of the generation that came with *body* holds in *context*; None: nothing."""
    notes = body.earlier.get(FORM) if context.gate is None else None
    try:
        if not notes or _head(notes) != _Head(RECIPE, _basis(context)):
            return None
        found, rows = _notes(notes), body.earlier.get(ROWS)
        if rows is None:
            return None
        table = opened(rows)
        if not isinstance(table, Blocks):
            return None
        blocks = {name: table.run(number) for number, name in enumerate(found.tables)}
    except (msgspec.MsgspecError, UnicodeDecodeError, StorageError):  # of another version, damaged
        return None
    holds = (
        found.moment - LOOKBACK <= context.moment
        and _continues(found, body, context)
        and all(len(blocks[name]) == len(known) for name, known in found.tables.items())
    )
    return Earlier(moment=context.moment, notes=found, blocks=blocks) if holds else None


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
    """A stretch of a table's text: the number of a batch that stands there as it did, or (None)
    what is to be read.
    """

    start: int
    stop: int
    same: int | None


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
        number = place
        place += 1
        if not one.since <= moment < one.until:
            continue
        if bytes(text[waiting:start]).strip(BETWEEN):
            yield Stretch(waiting, start, None)
        yield Stretch(start, at, number)
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
    return len(piece) == one.size and mark((piece,)) == one.mark
