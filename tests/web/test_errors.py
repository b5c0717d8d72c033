"""Every error of ours has a status, and a body that clients show to people."""

from __future__ import annotations

import json

import pytest

from proxy import errors
from proxy.errors import ProxyError
from proxy.web.errors import explained, problem

TABLE = [
    (errors.UnknownMirror("m"), 404, 404),
    (errors.UnknownPath("m"), 404, 404),
    (errors.UnknownRun("m"), 404, 404),
    (errors.UnknownPrefetch("m"), 404, 404),
    (errors.Overlong("m"), 431, 431),
    (errors.Crowded("m"), 503, 503),
    (errors.Conflict("m"), 409, 409),
    (errors.Unauthenticated("m"), 401, 401),
    (errors.TooManyAttempts("m", retry_after=3.0), 429, 429),
    (errors.MethodNotAllowed("m"), 405, 405),
    (errors.NotAcceptable("m"), 406, 406),
    (errors.RangeNotSatisfiable(7), 416, 416),
    (errors.RequestError("m"), 400, 400),
    (errors.Denied("f", rule="r", reason="why"), 403, 403),
    (errors.Blocked("f", rule="r", reason="why"), 451, 451),
    (errors.UpstreamMissing("m"), 404, 404),
    (errors.UpstreamMissing("m", gone=True), 410, 410),
    (errors.UpstreamRefused("m"), 502, 503),
    (errors.UpstreamForbidden("m"), 502, 503),
    (errors.UpstreamThrottled("m"), 503, 503),
    (errors.UpstreamDown("m", retry_after=3), 503, 503),
    (errors.Offline("m"), 504, 504),  # conda would only ask again
    (errors.UpstreamTimeout("m"), 504, 503),
    (errors.UpstreamFailed("m"), 502, 503),
    (errors.IntegrityError("m"), 502, 503),
    (errors.BadIndex("m"), 502, 503),
    (errors.StorageError("m"), 503, 503),
    (errors.Abandoned("m"), 503, 503),
    (errors.ConfigError("m"), 503, 503),
    (ProxyError("m"), 500, 500),
]


@pytest.mark.parametrize(("error", "usual", "conda"), TABLE, ids=lambda it: type(it).__name__)
def test_an_error_has_a_status(error: ProxyError, usual: int, conda: int) -> None:
    assert problem(error, ecosystem="pypi").status == usual
    assert problem(error, ecosystem="conda").status == conda


def test_every_error_is_in_the_table() -> None:
    known = {type(error) for error, _, _ in TABLE}
    groups = {errors.UpstreamError, errors.ProxyError}
    declared = {
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, ProxyError)
    }
    assert declared - known <= groups


def test_a_mistake_of_the_operator_is_told_as_one() -> None:
    told = problem(errors.ConfigError("auth.json is not readable JSON"), ecosystem="pypi")
    assert told.title == "The proxy is misconfigured"
    assert told.reason == "The proxy is misconfigured: auth.json is not readable JSON"
    assert json.loads(told.body) == {
        "status": 503,
        "title": told.title,
        "detail": "auth.json is not readable JSON",
    }
    assert told.headers["Retry-After"]
    assert told.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("given", "sent"), [(None, "5"), (2.1, "3"), (90.0, "90")])
def test_upstreams_patience_is_passed_on(given: float | None, sent: str) -> None:
    error = errors.UpstreamThrottled("m", retry_after=given)
    assert problem(error, ecosystem="pypi").headers["Retry-After"] == sent


@pytest.mark.parametrize("text", ["a\r\nX-Injected: 1", "ü\x00\x7f", "a" * 1000])
def test_a_reason_is_one_short_line_of_ascii(text: str) -> None:
    reason = problem(ProxyError(text), ecosystem="files").reason
    assert reason.isprintable()
    assert reason.isascii()
    assert len(reason) <= 200


def test_of_a_long_reason_the_end_is_kept_which_says_until_when() -> None:
    when = "(allowed from 2026-12-08 14:00 UTC)"
    error = errors.Denied("f", rule="r", reason=f"{'why ' * 100}{when}.", until=1796738400)
    told = problem(error, ecosystem="pypi")
    assert told.reason.startswith("Refused by policy: f is refused by rule r: why why")
    assert told.reason.endswith(f"why {when}.")
    assert len(told.reason) == 200
    assert told.members["until"] == "2026-12-08T14:00:00+00:00"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Gesperrt für alle \u2013 „größer“ als nötig…",
            'Gesperrt fur alle - "grosser" als notig...',
        ),
        ("Défense d'accès", "Defense d'acces"),
        ("问 https://wiki.example.org/a?b=1", "? https://wiki.example.org/a?b=1"),
        ("нет", "?"),
    ],
)
def test_a_reason_is_read_without_its_accents(said: str, shown: str) -> None:
    told = problem(errors.Denied("f", rule="r", reason=said), ecosystem="pypi")
    assert told.reason == f"Refused by policy: f is refused by rule r: {shown}"
    assert told.detail == f"f is refused by rule r: {said}"


R_AGENT = "R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)"


@pytest.mark.parametrize("agent", [R_AGENT, f"renv (1.2.4); {R_AGENT}", "libcurl/8.5.0"])
def test_r_is_led_to_an_address_that_says_why(agent: str) -> None:
    error = errors.Denied("a_1.tar.gz", rule="no-gpl", reason="Ask legal@example.org; see #3 & co.")
    where = explained(error, ecosystem="cran", agent=agent)
    assert where == "?refused+by+rule+no-gpl:+Ask+legal@example.org;+see+%233+%26+co."


@pytest.mark.parametrize(
    ("error", "ecosystem", "agent"),
    [
        (errors.Denied("f", rule="r"), "cran", "curl/8.5.0"),
        (errors.Denied("f", rule="r"), "pypi", R_AGENT),
        (errors.UpstreamMissing("m"), "cran", R_AGENT),
    ],
)
def test_others_are_told_at_once(error: ProxyError, ecosystem: str, agent: str) -> None:
    assert explained(error, ecosystem=ecosystem, agent=agent) is None


@pytest.mark.parametrize(
    "text", ["a\r\nX-Injected: 1", "ü\x00\x7f", "a" * 1000, "//x/?#y", "%0d%0a"]
)
def test_an_address_that_says_why_is_a_query_and_nothing_else(text: str) -> None:
    error = errors.Denied("f", rule="r", reason=text)
    where = explained(error, ecosystem="cran", agent=R_AGENT)
    assert where is not None
    assert where.startswith("?refused+by+rule+r:")
    assert where.isascii()
    assert where.isprintable()
    assert not set(where) & set(' #"<>\\^`{|}')
