"""Whoever is refused for a file's age is told until when, and then gets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.ages import STEP, stepped
from proxy.core.blocks import opened
from proxy.core.model import Index
from proxy.core.policy import All, Effect, Names, Not, OlderThan, Policy, Rule, YoungerThan
from proxy.core.rows import Row, Table, decode_row
from proxy.ecosystems.base import REFUSAL, ROWS, Context
from tests.ecosystems import conda_channels, cran_repositories, pypi_pages
from tests.ecosystems.policies import DAY, MOMENT, allow, deny, policy, random_policies, warn
from tests.lab.cran import ARCHIVED_AT, RPackage, archive_rds

NOW = stepped(MOMENT)
AGES = (YoungerThan(DAY), YoungerThan(7 * DAY), OlderThan(DAY), OlderThan(30 * DAY))

Rows = Mapping[str, Row]
Judge = Callable[[Mapping[str, float], Policy, float], Rows]
"""Gives the rows of files that have these dates, under the policy as of a moment."""


def _context(mirror: str, rules: Policy, moment: float) -> Context:
    kind = mirror.partition("/")[0]
    return Context(mirror=mirror, policy=rules.at(moment, kind), moment=moment, seen_at=NOW)


def conda(dates: Mapping[str, float], rules: Policy, moment: float) -> Rows:
    """The rows of a channel."""
    files = {
        f"{name}-1.0-0.conda": conda_channels.record(name, timestamp=int(date * 1000))
        for name, date in dates.items()
    }
    context = _context(conda_channels.MIRROR, rules, moment)
    body = conda_channels.body_of(conda_channels.channel(packages={}, **{"packages.conda": files}))
    made = conda_channels.render(body, ROWS, "zst", context=context)
    return {key.split("-")[0]: decode_row(one) for key, one in opened(made[ROWS]).items()}


def pypi(dates: Mapping[str, float], rules: Policy, moment: float) -> Rows:
    """The rows of a page, of which each file is of another version."""
    forms = _page(dates, rules, moment)
    rows = {key: decode_row(one) for key, one in Table(forms[ROWS]).items()}
    return {key.split("+")[1].split("-")[0]: row for key, row in rows.items() if "+" in key}


def _page(dates: Mapping[str, float], rules: Policy, moment: float) -> dict[str, bytes]:
    files = [
        pypi_pages.sample_file(
            filename=f"sample-1.0+{name}-py3-none-any.whl",
            upload_time=datetime.fromtimestamp(date, UTC).isoformat(),
        )
        for name, date in dates.items()
    ]
    body = pypi_pages.body_of(pypi_pages.sample_page(*files))
    context = _context(pypi_pages.MIRROR, rules, moment)
    forms = frozenset({"json", "html", ROWS})
    views = pypi_pages.PYPI.render(pypi_pages.page_index(), body, context, forms)
    return {one.form: b"".join(one.chunks) for one in views}


def cran(dates: Mapping[str, float], rules: Policy, moment: float) -> Rows:
    """The rows of a repository."""
    text = cran_repositories.dcf(
        *(
            {
                "Package": name,
                "Version": "1.0",
                "Date/Publication": f"{datetime.fromtimestamp(date, UTC):%Y-%m-%d %H:%M:%S} UTC",
            }
            for name, date in dates.items()
        )
    )
    context = _context(cran_repositories.MIRROR, rules, moment)
    rows = cran_repositories.Made(text, context).rows
    return {key.split("_")[0]: row for key, row in rows.items()}


every = pytest.mark.parametrize("judged", [conda, pypi, cran])


def _ends(judged: Judge, dates: Mapping[str, float], *rules: Rule, **more: Any) -> list[int | None]:
    return [row.until for row in judged(dates, policy(*rules, **more), NOW).values()]


@every
def test_a_file_is_hidden_until_the_step_behind_its_age(judged: Judge) -> None:
    dates = {"a": NOW - DAY + 1, "b": NOW - 6 * DAY, "c": NOW - 8 * DAY, "d": NOW - 7 * DAY + 5}
    cool_down = deny(YoungerThan(7 * DAY), "cool-down")
    found = judged(dates, policy(cool_down), NOW)
    ends = {name: row.until for name, row in found.items()}
    assert ends == {"a": NOW + 6 * DAY + STEP, "b": NOW + DAY, "c": None, "d": NOW + STEP}
    assert found["c"].denied is None


@every
def test_nothing_is_promised_that_another_rule_would_still_refuse(judged: Judge) -> None:
    cool_down, date = deny(YoungerThan(7 * DAY)), {"a": NOW - 6 * DAY}
    others = Names(("*",))
    assert _ends(judged, date, cool_down, deny(others)) == [None]
    assert _ends(judged, date, cool_down, default=Effect.DENY) == [None]
    assert _ends(judged, date, cool_down, deny(Not(OlderThan(9 * DAY)))) == [NOW + 3 * DAY + STEP]
    over = deny(others), allow(others, "again")
    assert _ends(judged, date, cool_down, *over) == [None]
    # By then one of the rules is gone.
    passing = replace(deny(others), expires=NOW + DAY)
    assert _ends(judged, date, cool_down, passing) == [NOW + DAY]
    passing = replace(allow(OlderThan(6 * DAY + STEP)), expires=NOW + DAY)
    assert _ends(judged, date, passing, deny(others)) == [NOW + 2 * STEP]
    passing = replace(passing, expires=NOW + STEP)
    assert _ends(judged, date, passing, deny(others)) == [None]


@every
def test_ages_are_found_wherever_a_rule_looks_at_them(judged: Judge) -> None:
    date = {"a": NOW - 6 * DAY + 60}
    nested = deny(All((Not(OlderThan(7 * DAY)), Not(Names(("other",))))))
    assert _ends(judged, date, nested) == [NOW + DAY + STEP]
    grown = allow(OlderThan(7 * DAY))
    assert _ends(judged, date, grown, default=Effect.DENY) == [NOW + DAY + STEP]
    assert _ends(judged, date, deny(Names(("*",)))) == [None]
    assert _ends(judged, date, deny(OlderThan(DAY))) == [None]


_DATES = st.builds(
    lambda days, more: NOW + days * DAY + more,
    st.integers(-32, 0),
    st.sampled_from([0.0, -1.0, -60.0, -STEP]),
)


@every
@settings(deadline=None)
@given(
    dates=st.fixed_dictionaries(dict.fromkeys("abc", _DATES)),
    rules=random_policies(["a", "b", "sample"], ["a", "sample"], *AGES),
)
def test_what_is_promised_comes_true(judged: Judge, dates: dict[str, float], rules: Policy) -> None:
    now = judged(dates, rules, NOW)
    ends = {row.until for row in now.values() if row.until is not None}
    turns = {stepped(one + age.seconds) + STEP for one in dates.values() for age in AGES}
    expire = any(rule.expires for rule in (*rules.rules, *rules.overrides))
    for moment in {*ends, *(end - STEP for end in ends), *turns}:
        then = judged(dates, rules, moment) if moment > NOW else {}
        for name, row in then.items():
            until = now[name].until
            assert (until is None) or now[name].denied is not None
            if moment == until:
                assert row.denied is None
            elif now[name].denied and not expire and (until is None or moment < until):
                assert row.denied is not None


def test_pypi_warns_until_then() -> None:
    rules = policy(warn(YoungerThan(7 * DAY), "fresh", "Released this week."))
    forms = _page({"a": NOW - 6 * DAY, "b": NOW - 8 * DAY}, rules, NOW)
    first, second = json.loads(forms["json"])["files"]
    assert first["yanked"] == "Released this week (until 2023-11-15 22:00 UTC). (rule fresh)"
    assert not second["yanked"]
    assert "(until 2023-11-15 22:00 UTC)" in forms["html"].decode()


def test_pypis_older_json_is_refused_until_then() -> None:
    rules = policy(deny(YoungerThan(7 * DAY), "fresh"))
    rows = _page({"a": NOW - 6 * DAY}, rules, NOW)[ROWS]
    (path,) = [key for key in dict(Table(rows).items()) if key.endswith(".whl")]
    filename = path.rpartition("/")[2]
    file = {
        "filename": filename,
        "url": f"{pypi_pages.FILES}/{pypi_pages.SHAPED}/{filename.replace('+', '%2B')}",
        "digests": {"sha256": pypi_pages.SHA256},
    }
    index = pypi_pages.PYPI.classify(pypi_pages.MIRROR, "pypi/sample/1.0+a/json")
    assert isinstance(index, Index)
    body = replace(pypi_pages.body_of({"info": {}, "urls": [file]}), gate=rows)
    context = _context(pypi_pages.MIRROR, rules, NOW)
    (made,) = pypi_pages.PYPI.render(index, body, context, frozenset({REFUSAL}))
    (row,) = [decode_row(one) for _, one in Table(b"".join(made.chunks)).items()]
    assert (row.denied and row.denied[0], row.until) == ("fresh", NOW + DAY)


def test_an_archive_is_hidden_until_then() -> None:
    rules = policy(deny(YoungerThan(7 * DAY)))
    moment = stepped(ARCHIVED_AT) + DAY
    body = cran_repositories.body_of(archive_rds([RPackage(name="tool", version="1.0")]))
    context = replace(_context(cran_repositories.MIRROR, rules, moment), seen_at=moment)
    made = cran_repositories.Made(body, context, cran_repositories.ARCHIVE)
    assert [row.until for row in made.rows.values()] == [stepped(ARCHIVED_AT + 7 * DAY - 1) + STEP]
