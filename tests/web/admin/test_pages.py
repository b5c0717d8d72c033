"""The pages: escaped, strict, linked, labelled, and right."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

import pytest

from proxy.core.cache_status import Result
from proxy.observe.happenings import Sort
from tests.web.admin.desk import HOSTILE, TOKEN, Desk, play
from tests.web.admin.page import Page

PAGES = (
    "/",
    "/?span=week",
    "/policies",
    "/policies?mirror=conda/lab&package=%3Cscript%3Ex",
    "/events",
    "/events?sort=refusal&mirror=conda/lab",
    "/setup",
    "/login",
    "/nothing",
)


async def _busy(desk: Desk) -> None:
    """Some of everything, as hostile as may be."""
    await desk.history.take()
    for sort in Sort:
        desk.happenings.tell(sort, mirror=HOSTILE, what=HOSTILE, cause=HOSTILE, text=HOSTILE)
    desk.metrics.hidden("conda/lab", "x", 1234)
    desk.metrics.upstream_answered("conda/lab", "UpstreamTimeout", 0.1)


async def _page(desk: Desk, path: str) -> Page:
    answer = await desk.client.get(path)
    text = await answer.text()
    assert "<script>alert" not in text
    return Page(text)


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_well_formed_escaped_and_without_anything_inline(
    tmp_path: Path, path: str
) -> None:
    async def script(desk: Desk) -> None:
        await _busy(desk)
        (await _page(desk, path)).check()

    play(tmp_path, script)


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/overview", "/static/admin.js", "/api/v1/none"])
def test_nothing_may_come_from_elsewhere(tmp_path: Path, path: str) -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    play(tmp_path, script)


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _busy(desk)
        seen, ahead = set(PAGES[-1:]), ["/"]
        while ahead:
            path = ahead.pop()
            answer = await desk.client.get(path)
            assert answer.status == 200, path
            if answer.content_type == "text/html":
                links = {urljoin(path, link) for link in Page(await answer.text()).links}
                ahead += links - seen
                seen |= links
        assert {"/policies", "/events", "/setup", "/static/admin.js"} <= seen

    play(tmp_path, script)


def test_the_overview_has_the_figures_and_draws_them(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.history.take()
        for result, sent in ((Result.HIT, 3000), (Result.MISS, 1000)):
            desk.metrics.answered(
                mirror="conda/lab", method="GET", result=result, status=200, sent=sent, seconds=1
            )
        page = await _page(desk, "/")
        assert "Sent to clients 4 kB" in page.text
        assert len(page.all("figure")) == 2
        assert "conda/lab" in page.text

    play(tmp_path, script)


def test_a_policy_page_says_what_is_hidden_and_explains(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _busy(desk)
        page = await _page(desk, "/policies?mirror=conda/lab&package=x")
        assert "x conda/lab 1 234" in page.text
        assert "x-1.conda deny x" in page.text

    play(tmp_path, script)


def test_set_me_up_names_this_server(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/setup")
        assert "index-url = http://127.0.0.1:8080/pypi/py/simple/" in page.text
        assert "channel_alias: http://127.0.0.1:8080/conda" in page.text
        assert "u:pw" not in page.text

    play(tmp_path, script)


def test_the_login_page_shows_nothing_else(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/login")
        page.check()
        assert not page.all("nav")
        assert TOKEN not in page.text

    play(tmp_path, script, token=TOKEN)
