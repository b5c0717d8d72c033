"""Values of settings: what is accepted, what it becomes, what is said of the rest."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.kinds import (
    DEADLINE,
    DURATION,
    FILE,
    FLAG,
    HOST,
    HOSTS,
    LONGEST,
    PATH,
    SOURCE,
    TEXT,
    Kind,
    one_of,
    spelt,
    whole,
)

PORT = whole(0, 65535)
WORD = one_of("text", "json")


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (PORT, 0, 0),
        (PORT, 65535, 65535),
        (WORD, "json", "json"),
        (DURATION, 90, 90.0),
        (DURATION, 0, 0.0),
        (DURATION, 1.5, 1.5),
        (DURATION, "300ms", 0.3),
        (DURATION, "90", 90.0),
        (DURATION, " 10 m ", 600.0),
        (DURATION, "12h", 43200.0),
        (DURATION, "7d", 604800.0),
        (DURATION, "2w", 1209600.0),
        (DEADLINE, "1ms", 0.001),
        (FLAG, True, True),
        (FLAG, False, False),
        (HOST, "127.0.0.1", "127.0.0.1"),
        (HOST, "::", "::"),
        (HOST, "fe80::1", "fe80::1"),
        (HOST, "cache.example.org", "cache.example.org"),
        (HOSTS, [], frozenset()),
        (HOSTS, ["A.example.org", "10.0.0.5:81"], frozenset({"a.example.org", "10.0.0.5:81"})),
        (HOSTS, ["::1", "[::1]:81", "[::1]"], frozenset({"::1", "::1:81"})),
        (PATH, "/var/cache", Path("/var/cache")),
    ],
)
def test_good_values_are_typed(kind: Kind, given: Any, value: Any) -> None:
    assert kind.read(given) == value


@pytest.mark.parametrize(
    ("kind", "given", "advice"),
    [
        (PORT, 65536, "from 0 to 65535"),
        (PORT, -1, "from 0 to 65535"),
        (PORT, True, "whole number"),
        (PORT, 80.0, "whole number"),
        (PORT, "80", "whole number"),
        (WORD, "jsn", '"text" or "json"'),
        (WORD, ["text"], '"text" or "json"'),
        (DURATION, "soon", '"10m"'),
        (DURATION, "-5s", '"10m"'),
        (DURATION, -5, "from 0s"),
        (DURATION, True, '"10m"'),
        (DURATION, math.inf, '"10m"'),
        (DURATION, math.nan, '"10m"'),
        (DURATION, LONGEST + 1, "to 36500d"),
        (DEADLINE, 0, "from 1ms"),
        (FLAG, "true", "true or false"),
        (FLAG, 1, "true or false"),
        (HOST, "127.0.0.1:8080", "without a port"),
        (HOST, "http://cache", "host name"),
        (HOST, "", "host name"),
        (HOSTS, "files.example.org", "list of hosts"),
        (HOSTS, ["https://files.example.org/"], "list of hosts"),
        (HOSTS, ["files.example.org:https"], "list of hosts"),
        (HOSTS, [5], "list of hosts"),
        (PATH, "relative/path", "absolute path"),
        (PATH, "/with\nline", "control characters"),
        (PATH, "/with\0", "control characters"),
        (PATH, 5, "in quotes"),
        (FILE, "/no/such/file", "there is no file"),
        (TEXT, "", "in quotes"),
        (TEXT, {"a": 1}, "in quotes"),
    ],
)
def test_bad_values_are_told_what_to_write(kind: Kind, given: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        kind.read(given)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (PORT, "8081", 8081),
        (FLAG, "no", False),
        (FLAG, "TRUE", True),
        (FLAG, "0", False),
        (DURATION, "5m", 300.0),
        (WORD, "json", "json"),
    ],
)
def test_variables_are_texts_of_the_same_values(kind: Kind, text: str, value: Any) -> None:
    assert kind.read(kind.parse(text)) == value


@pytest.mark.parametrize("text", ["", "8081.5", "+1", "٣", "1e3", "9" * 30])
def test_a_variable_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        PORT.read(PORT.parse(text))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.3, "300ms"), (90, "90s"), (600, "10m"), (86400, "1d"), (1.5, "1500ms")],
)
def test_durations_are_spelt_in_their_largest_unit(seconds: float, text: str) -> None:
    assert spelt(seconds) == text


@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_a_spelt_duration_reads_as_itself(seconds: float) -> None:
    assert DURATION.read(spelt(seconds)) == pytest.approx(seconds)


def test_a_source_is_shown_without_its_secrets() -> None:
    shown = SOURCE.show("https://user:hunter2@host.example.org/t/tk-123/channel")
    assert "hunter2" not in shown
    assert "tk-123" not in shown
    assert SOURCE.show("auto") == "auto"


_TOML = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(dt.date(2025, 1, 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "kind", [PORT, WORD, DURATION, DEADLINE, FLAG, HOST, HOSTS, PATH, FILE, SOURCE, TEXT]
)
@given(value=_TOML)
def test_whatever_is_given_only_a_value_error_comes_of_it(kind: Kind, value: Any) -> None:
    with contextlib.suppress(ValueError):
        kind.show(kind.read(value))
