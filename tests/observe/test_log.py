"""Log events: one line each, nothing secret, and nobody waits for the stream."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.cache_status import Result
from proxy.errors import UpstreamFailed
from proxy.observe.log import BATCH, QUEUED, Bridge, Level, Log, Style

NOW = 1_800_000_000.1239


def lines(
    style: Style, *events: tuple[str, dict[str, Any]], level: Level = Level.INFO
) -> list[str]:
    stream = io.BytesIO()
    with Log(stream, style=style, level=level, clock=lambda: NOW) as log:
        for name, fields in events:
            log.event(name, **fields)
    text = stream.getvalue().decode("ascii")
    assert text.endswith("\n") or not text
    return text.split("\n")[:-1]


def test_text_is_one_readable_line() -> None:
    fields = {"mirror": "conda/main", "path": "a b", "status": 200, "result": Result.HIT}
    fields |= {"seconds": 0.00123456789, "cached": True, "reason": None, "empty": ""}
    (line,) = lines(Style.TEXT, ("request", fields))
    assert line == (
        '2027-01-15T08:00:00.123Z info request mirror=conda/main path="a b" status=200 '
        'result=hit seconds=0.001235 cached=true empty=""'
    )


def test_json_keeps_types() -> None:
    (line,) = lines(Style.JSON, ("request", {"status": 200, "seconds": 0.5, "cached": False}))
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.123Z",
        "level": "info",
        "event": "request",
        "status": 200,
        "seconds": 0.5,
        "cached": False,
    }


@pytest.mark.parametrize("style", Style)
def test_lines_put_together_from_parts_are_those_of_events(style: Style) -> None:
    first, second = {"path": 'a "b" =', "status": 200}, {"client": "", "agent": "x\ny"}
    stream = io.BytesIO()
    with Log(stream, style=style, clock=lambda: NOW) as log:
        head = log.head("request", Level.INFO, NOW)
        words = log.words(**first) + f"{log.seconds}0.250000" + log.words(**second)
        log.lines([f"{head}{words}{log.end}"] * 3)
    made = stream.getvalue().decode().replace("0.250000", "0.25").splitlines()
    assert made == lines(style, ("request", {**first, "seconds": 0.25, **second})) * 3


def test_many_lines_are_written_in_whole_ones_of_a_batch_at_most() -> None:
    class Stream(io.BytesIO):
        def write(self, data: Any) -> int:
            written.append(bytes(data))
            return len(data)

    written: list[bytes] = []
    many = ["x" * size + "\n" for size in (10, 2000, 2000, 2000, 5000, 10, 10)] * 20
    with Log(Stream()) as log:
        log.lines(many)
    assert b"".join(written).decode() == "".join(many)
    assert all(one.endswith(b"\n") for one in written)
    assert all(len(one) <= BATCH or one.count(b"\n") == 1 for one in written)


def test_fields_cannot_replace_what_every_event_has() -> None:
    (line,) = lines(Style.JSON, ("request", {"time": "x", "event": "y"}))
    record = json.loads(line)
    assert record["event"] == "request"
    assert record["event_"] == "y"


@pytest.mark.parametrize("style", list(Style))
@given(key=st.text(min_size=1), value=st.text())
def test_no_value_can_forge_a_line(style: Style, key: str, value: str) -> None:
    (line,) = lines(style, ("request", {key.replace("level", "_"): value}))
    assert line.isascii()
    assert line.isprintable()


@given(st.one_of(st.floats(), st.integers(), st.binary(), st.lists(st.text()), st.none()))
def test_any_value_gives_valid_json(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    (line,) = lines(Style.JSON, ("request", {"value": value}))
    json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("style", list(Style))
@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": "S3CRET"},
        {"Proxy-Authorization": "S3CRET"},
        {"password": "S3CRET"},
        {"token": b"S3CRET"},
        {"url": "https://u:S3CRET@h.example.org/t/S3CRET/x?S3CRET"},
        {"path": "/t/S3CRET/conda/main/noarch/repodata.json"},
        {"error": UpstreamFailed("https://u:S3CRET@h.example.org/ refused Bearer S3CRETS3CRET")},
        {"headers": {"Authorization": "Basic S3CRETS3CRET"}},
    ],
)
def test_secrets_are_masked_whoever_logs_them(style: Style, fields: dict[str, object]) -> None:
    (line,) = lines(style, ("request", fields))
    assert "S3CRET" not in line


def test_events_below_the_level_are_left_out() -> None:
    stream = io.BytesIO()
    with Log(stream, level=Level.WARNING) as log:
        log.event("quiet")
        log.event("loud", level=Level.ERROR)
    assert b"loud" in stream.getvalue()
    assert b"quiet" not in stream.getvalue()


def fail(error: Exception) -> None:
    raise error


def test_a_crash_says_where_it_happened() -> None:
    stream = io.BytesIO()
    with Log(stream, style=Style.JSON) as log:
        try:
            fail(UpstreamFailed("it broke"))
        except UpstreamFailed as error:
            log.crash("task_failed", error, task="sweep")
    record = json.loads(stream.getvalue())
    assert record["level"] == "error"
    assert record["error"] == "UpstreamFailed: it broke"
    assert record["task"] == "sweep"
    assert "test_log.py" in record["trail"]


class Stalled(io.BytesIO):
    """A stream that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.opened = threading.Event()

    def write(self, data: Any) -> int:
        self.asked.set()
        assert self.opened.wait(10)
        return super().write(data)


def test_a_blocked_stream_holds_nobody_up_and_the_loss_is_told() -> None:
    stream = Stalled()
    with Log(stream, style=Style.JSON) as log:
        log.event("first")
        assert stream.asked.wait(10)
        for _ in range(QUEUED + 5):
            log.event("request")
        assert log.dropped == 5
        stream.opened.set()
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum(record["event"] == "request" for record in records) == QUEUED
    assert [record["lines"] for record in records if record["event"] == "log_dropped"] == [5]


class Pieces(io.BytesIO):
    """Remembers each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)


def test_writes_are_whole_lines_of_at_most_a_pipes_atom() -> None:
    stream = Pieces()
    log = Log(stream)
    for number in range(2000):
        log.event("request", number=number, text="x" * (number % 300))
    log.start()
    log.close()
    assert b"".join(stream.pieces).count(b"\n") == 2000
    assert all(len(piece) <= BATCH and piece.endswith(b"\n") for piece in stream.pieces)
    assert len(stream.pieces) < 200


class Broken(io.BytesIO):
    """A stream whose far side is gone."""

    def write(self, data: Any) -> int:
        raise BrokenPipeError("gone")


def test_a_broken_stream_is_counted_not_raised() -> None:
    with Log(Broken()) as log:
        log.event("one")
        log.event("two")
    assert log.unwritten == 2


def test_what_libraries_log_becomes_events() -> None:
    stream = io.BytesIO()
    logger = logging.Logger("library.part")  # noqa: LOG001 - one that no other test can see
    with Log(stream, style=Style.JSON) as log:
        logger.addHandler(Bridge(log))
        logger.warning("odd %s", "thing\nhere")
        logger.debug("too quiet")
        try:
            fail(ValueError("no"))
        except ValueError:
            logger.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["level"]) == ("library", "warning")
    assert first["logger"] == "library.part"
    assert first["message"] == "odd thing\nhere"
    assert (second["level"], second["error"]) == ("error", "ValueError: no")
