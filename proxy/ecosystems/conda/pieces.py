"""JSON put together from members that are JSON already, without a copy of the whole.

300 MB of records are joined a few at a time while they are compressed or sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from proxy.ecosystems.conda.text import EMPTY

_BATCH = 2048  # pieces that are joined at a time


class Filtered:
    """A JSON object without some of its members, written while it is sent."""

    def __init__(self, members: Mapping[str, msgspec.Raw], hidden: Mapping[str, object]) -> None:
        self._kept = {key: raw for key, raw in members.items() if key not in hidden}

    def __len__(self) -> int:
        """Of how many bytes the text is."""
        encode = msgspec.json.encode
        kept = self._kept
        text = sum([len(encode(key)) + memoryview(raw).nbytes for key, raw in kept.items()])
        return text + 2 * len(kept) + (1 if kept else 2)

    def __iter__(self) -> Iterator[bytes]:
        encode = msgspec.json.encode
        before = b"{"
        batch: list[bytes] = []
        for key, raw in self._kept.items():
            batch += (before, encode(key), b":", raw)
            before = b","
            if len(batch) > _BATCH:
                yield b"".join(batch)
                batch.clear()
        yield b"".join([*batch, b"}" if self._kept else b"{}"])


class Kept:
    """The same of a table that is read in batches: what stays is cut out of upstream's text."""

    def __init__(self, runs: Sequence[memoryview]) -> None:
        self._runs = runs

    def __len__(self) -> int:
        """Of how many bytes the text is."""
        runs = self._runs
        return sum([run.nbytes for run in runs]) + max(0, len(runs) - 1) + 2

    def __iter__(self) -> Iterator[bytes | memoryview]:
        before = b"{"
        for run in self._runs:
            yield before
            yield run
            before = b","
        yield b"}" if self._runs else b"{}"


Piece = bytes | memoryview | Filtered | Kept


def pieces(members: Mapping[str, msgspec.Raw | list[Piece]], *, end: bytes = b"}\n") -> list[Piece]:
    """A JSON object of members that are JSON already, in pieces: 300 MB are not copied for it."""
    made: list[Piece] = []
    for key, member in members.items():
        made += [b"," if made else b"{", msgspec.json.encode(key), b":"]
        made += member if isinstance(member, list) else [memoryview(member)]
    return [*made, end] if made else [EMPTY]


def flat(pieces: Iterable[Piece]) -> Iterator[bytes | memoryview]:
    """The pieces of a text as bytes, those to be written among them written."""
    for piece in pieces:
        if isinstance(piece, Filtered | Kept):
            yield from piece
        else:
            yield piece
