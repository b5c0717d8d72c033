"""Structured log events: one line each, as text for people or JSON for programs.

An event is a name and fields. Secrets are masked and control characters escaped whatever a
caller passes. Writing never holds a request up: a thread of its own writes to a stream that may
block, from a bounded queue; what does not fit is dropped, counted and reported later.

Not built on `logging`: its records, filters and handlers would come on top of each line, and their
unit is prose. `Bridge` brings in what libraries log there.
"""

from __future__ import annotations

import enum
import io
import json
import logging
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import BinaryIO, Self

from proxy.core.urls import MASK, scrubbed

QUEUED = 10_000
"""Lines that may wait for the stream: some 3 MB, or 20 MB of lines that came in batches; a second
or less of full load."""

BATCH = 4096
"""Bytes per write: PIPE_BUF, up to which several processes' writes to one pipe do not mix."""

LONGEST = 4000
"""Characters of one value that are shown: clients choose how long some of them are."""

# What needs no quotes: visible ASCII but for the quote, "=" and the backslash.
_BARE = re.compile(r"[!#-<>-\[\]-~]+")

_SECRET = frozenset(
    {"authorization", "proxy_authorization", "cookie", "set_cookie", "password", "passwd"}
    | {"token", "secret", "api_key", "x_api_key", "access_token", "refresh_token", "credentials"}
)

Value = str | int | float | bool | None | object
"""A field. None is left out; what is neither text nor number is shown as `str()` has it."""


GATHER = 0.05
"""Seconds for which lines are gathered before they are written together."""


class Level(enum.IntEnum):
    """How much an event matters to an operator."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Style(enum.StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


class Log:
    """Writes events to *stream* while entered (or between `start` and `close`).

    `dropped` lines found the queue full, `unwritten` ones a stream that failed.
    """

    def __init__(
        self,
        stream: BinaryIO | io.BufferedIOBase,
        *,
        style: Style = Style.TEXT,
        level: Level = Level.INFO,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._line = _json if style is Style.JSON else _text
        self._head = _json_head if style is Style.JSON else _text_head
        self._words = _json_words if style is Style.JSON else _text_words
        self.end = "}\n" if style is Style.JSON else "\n"
        self.seconds = ',"seconds":' if style is Style.JSON else " seconds="
        self._clock = clock
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._reported = 0  # of `dropped`; only the writing thread touches it
        self.level = level
        self.dropped = 0
        self.unwritten = 0

    def __repr__(self) -> str:
        return f"<Log {self.level.name} {self._queue.qsize()} queued {self.dropped} dropped>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to write. Called in the process that writes, not before a fork."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued and stop, within *timeout* seconds even if the stream blocks."""
        if self._thread is not None:
            self._closing.set()
            self._queue.put(None)
            self._thread.join(timeout)
            self._thread = None

    def event(self, name: str, /, *, level: Level = Level.INFO, **fields: Value) -> None:
        """Say that *name* happened. Never raises for a field's sake and never waits."""
        if level < self.level:
            return
        if self._queue.qsize() >= QUEUED:
            self.dropped += 1
            return
        self._queue.put(self._line(self._clock(), level, name, fields))

    def words(self, **fields: Value) -> str:
        """*fields* as they stand in a line, to be given to `lines` any number of times."""
        return self._words(fields)

    def head(self, name: str, level: Level, now: float) -> str:
        """What a line about *name* at *now* begins with; words follow, then `end`."""
        return self._head(now, level, name)

    def lines(self, lines: list[str]) -> None:
        """Write lines made of `head`, `words` and `end`, as `event` would."""
        if self._queue.qsize() >= QUEUED // 2:  # each of these is several lines, of `BATCH` bytes
            self.dropped += len(lines)
            return
        start = size = 0
        for number, line in enumerate(lines):
            if size + len(line) > BATCH and number > start:
                self._queue.put("".join(lines[start:number]))
                start, size = number, 0
            size += len(line)
        self._queue.put("".join(lines[start:]))

    def crash(self, name: str, error: BaseException, /, **fields: Value) -> None:
        """An unexpected *error*, with where it came from."""
        frames = traceback.extract_tb(error.__traceback__)
        trail = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        self.event(name, level=Level.ERROR, **{**fields, "error": error, "trail": trail})

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            # A thread that woke for every line would fight the event loop for the interpreter.
            self._closing.wait(GATHER)
            ended = self._write(line)
            if ended:
                return

    def _write(self, line: str) -> bool:
        """Write *line* and what else is queued; returns whether the end has come."""
        lines = [line]
        ended = False
        size = len(line)
        while size < BATCH:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                ended = True
                break
            if size + len(following) > BATCH:
                self._emit("".join(lines))
                lines, size = [], 0
            lines.append(following)
            size += len(following)
        self._emit("".join(lines))
        if lost := self.dropped - self._reported:
            self._reported += lost
            self._emit(self._line(self._clock(), Level.WARNING, "log_dropped", {"lines": lost}))
        return ended

    def _emit(self, text: str) -> None:
        try:
            self._stream.write(text.encode("ascii"))
            self._stream.flush()
        except (OSError, ValueError):
            # The stream is gone or full, and there is no other place to say so.
            self.unwritten += text.count("\n")


class Bridge(logging.Handler):
    """Brings the records that libraries log into *log*."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record as one `library` event."""
        error = record.exc_info[1] if record.exc_info else None
        level = max(one for one in Level if one <= max(record.levelno, Level.DEBUG))
        if level < self._log.level:
            return
        fields = {"logger": record.name, "message": record.getMessage()}
        if error is None:
            self._log.event("library", level=level, **fields)
        else:
            self._log.crash("library", error, **fields)


def _fields(fields: dict[str, Value]) -> Iterator[tuple[str, str | int | float | bool]]:
    """*fields* ready to be written: plain types, nothing secret."""
    for key, value in fields.items():
        if value is None:
            continue
        if key.lower().replace("-", "_") in _SECRET:
            yield key, MASK
        else:
            yield key, _plain(value)


def _plain(value: Value) -> str | int | float | bool:
    match value:
        case enum.Enum():
            return value.value if isinstance(value.value, int | str) else value.name
        case bool() | int():
            return value
        case float():
            # Finite and no longer than worth reading; JSON has no NaN.
            return round(value, 6) if abs(value) < 1e18 else str(value)
        case BaseException():
            return scrubbed(f"{type(value).__name__}: {value}"[:LONGEST])
        case _:
            return scrubbed(str(value)[:LONGEST])


def _json(now: float, level: Level, name: str, fields: dict[str, Value]) -> str:
    return f"{_json_head(now, level, name)}{_json_words(fields)}}}\n"


def _json_head(now: float, level: Level, name: str) -> str:
    return f'{{"time":"{_stamp(now)}","level":"{level.name.lower()}","event":{json.dumps(name)}'


def _json_words(fields: dict[str, Value]) -> str:
    # ASCII only: no C1 control, separator or bidirectional mark reaches a terminal.
    words = []
    for key, value in _fields(fields):
        named = f"{key}_" if key in ("time", "level", "event") else key
        words.append(f",{json.dumps(named)}:{json.dumps(value)}")
    return "".join(words)


def _text(now: float, level: Level, name: str, fields: dict[str, Value]) -> str:
    return f"{_text_head(now, level, name)}{_text_words(fields)}\n"


def _text_head(now: float, level: Level, name: str) -> str:
    return f"{_stamp(now)} {level.name.lower()} {_quoted(name)}"


def _text_words(fields: dict[str, Value]) -> str:
    return "".join(f" {_quoted(key)}={_quoted(value)}" for key, value in _fields(fields))


def _quoted(value: str | float) -> str:
    """Bare where that is unmistakable, else a JSON string, which escapes controls."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _stamp(now: float) -> str:
    second, fraction = divmod(now, 1)
    return f"{_second(second)}.{int(fraction * 1000):03}Z"


@lru_cache(maxsize=4)
def _second(second: float) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
