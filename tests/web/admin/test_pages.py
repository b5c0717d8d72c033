"""The pages: escaped, strict, linked, labelled, and right."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

import pytest
from aiohttp import ClientResponse

from proxy.core.cache_status import Result
from proxy.mirror.port import Origin, RunState
from proxy.observe.happenings import Sort
from tests.web.admin.desk import HOSTILE, NO_X, TOKEN, Desk, play
from tests.web.admin.page import Page

PAGES = (
    "/",
    "/?span=week",
    "/policies",
    "/policies?mirror=conda/lab&package=%3Cscript%3Ex",
    "/policies/diff",
    "/policies/diff?mirror=pypi/py",
    "/events",
    "/events?sort=refusal&mirror=conda/lab",
    "/setup",
    "/mirrors",
    "/mirrors?said=deleted",
    "/mirrors/new",
    "/mirrors/conda%2Flab?package=x&said=%3Cscript%3E",
    "/mirrors/conda%2Flab/runs/0001",
    "/mirrors/conda%2Flab/unfreeze",
    "/mirrors/conda%2Flab/report",
    "/mirrors/conda%2Fours",
    "/mirrors/conda%2Fours/edit",
    "/mirrors/conda%2Fours/delete",
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
    await desk.mirrors.run("conda/lab")
    desk.mirrors.end("conda/lab", RunState.COMPLETED_WITH_FAILURES)
    await desk.mirrors.run("conda/lab")
    await desk.mirrors.freeze("conda/lab")
    ours = {"type": "conda", "name": "ours", "source": HOSTILE, "exclude": ["a", HOSTILE]}
    await desk.mirrors.create(ours)


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
        assert "left alone by 2 workers after 7 failures" in page.text

    play(tmp_path, script)


def test_what_happens_again_and_again_is_one_line(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for what in ("x", "y", "x", "x"):
            desk.happenings.tell(Sort.REFUSAL, mirror="conda/lab", what=what, cause="c", text="t")
        for path in ("/", "/events"):
            page = await _page(desk, path)
            assert "(3 times)" in page.text
            assert page.text.count("refused conda/lab") == 2

    play(tmp_path, script)


def test_a_policy_page_says_what_is_hidden_and_explains(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _busy(desk)
        page = await _page(desk, "/policies?mirror=conda/lab&package=x")
        assert "x conda/lab 1 234" in page.text
        assert "x-1.conda deny x" in page.text
        assert "no rule speaks of it 1970-01-01 00:16 x-1.conda" in page.text
        assert "1970-01-01 00:16 , hidden until 1970-01-01 02:00" in page.text
        page = await _page(desk, "/policies?mirror=conda/lab&package=fresh")
        assert "1970-01-01 00:16 , warned of until 1970-01-01 02:00" in page.text

    play(tmp_path, script)


DRAFT = '[[rule]]\nname = "no-y"\ndeny = { names = ["y*"] }\n'


def test_what_a_change_of_policy_would_do_is_counted_and_named(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answer = await _post(
            desk, "/policies/diff", mirror="conda/lab", old="", new="none", text=""
        )
        page = Page(await answer.text())
        page.check()
        assert "0 files would be hidden, 1 brought back" in page.text
        assert "x 1 " in page.text
        assert "x-1.conda linux-64/repodata.json brought back" in page.text
        answer = await _post(
            desk, "/policies/diff", mirror="pypi/py", old="none", new="", text=DRAFT
        )
        page = Page(await answer.text())
        page.check()
        assert "1 files would be hidden, 0 brought back" in page.text
        assert "no-y" in page.text, "the text is not lost"

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"mirror": "conda/lab"}, "choose the new policy, or paste its text"),
        ({"mirror": "conda/lab", "new": "none", "text": DRAFT}, "not both"),
        ({"mirror": "conda/none", "new": "none"}, "there is no mirror 'conda/none'"),
        ({"mirror": "conda/lab", "new": "other"}, "there is no policy 'other'"),
        ({"mirror": "conda/lab", "text": HOSTILE}, "draft"),
        ({"mirror": "conda/lab", "text": DRAFT.replace("names", "nmaes")}, "nmaes"),
    ],
)
def test_what_is_wrong_in_a_comparison_is_said_and_nothing_is_lost(
    tmp_path: Path, form: dict[str, str], told: str
) -> None:
    async def script(desk: Desk) -> None:
        answer = await _post(desk, "/policies/diff", **form)
        text = await answer.text()
        page = Page(text)
        page.check()
        assert (answer.status, told in page.text) == (422, True), page.text
        assert "<script>alert" not in text
        assert " ".join(form.get("text", "").split()) in page.text

    play(tmp_path, script)


def test_a_comparison_is_asked_for_by_our_own_form_alone(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.client.post(
            "/policies/diff", data={"mirror": "conda/lab", "new": "none"}
        )
        assert answer.status == 403

    play(tmp_path, script)


def test_set_me_up_names_this_server(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/setup")
        assert "index-url = http://127.0.0.1:8080/pypi/py/simple/" in page.text
        assert "channel_alias: http://127.0.0.1:8080/conda" in page.text
        assert "u:pw" not in page.text

    play(tmp_path, script)


def test_behind_a_socket_another_address_is_to_be_written(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/setup")
        page.check()
        assert "at a socket" in page.text
        assert "https://packages.example.org/pypi/py/simple/" in page.text

    play(tmp_path, script, served_at="unix:/run/pkgproxy.sock")


def test_the_login_page_shows_nothing_else(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/login")
        page.check()
        assert not page.all("nav")
        assert TOKEN not in page.text

    play(tmp_path, script, token=TOKEN)


async def _post(desk: Desk, path: str, **form: str) -> ClientResponse:
    data = {"word": desk.guard.word, **form}
    return await desk.client.post(path, data=data, allow_redirects=False)


FORM = {"type": "conda", "name": "ours", "source": "https://host.example.org/", "mode": "active"}


def test_a_mirror_is_made_by_the_form(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        made = await _post(
            desk, "/mirrors/new", **FORM, newest="3", platforms="linux-64\r\n osx-64 \r\n",
            dependencies="false", policy="", action="save",
        )  # fmt: skip
        assert (made.status, made.headers["Location"]) == (
            303,
            "/mirrors/conda%2Fours?said=created",
        )
        values = desk.mirrors.show("conda/ours").definition.values
        assert values == {
            **FORM,
            "newest": 3,
            "platforms": ["linux-64", "osx-64"],
            "dependencies": False,
        }
        page = await _page(desk, made.headers["Location"])
        assert "The mirror is made" in page.text

    play(tmp_path, script)


def test_what_is_wrong_in_the_form_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answer = await _post(
            desk, "/mirrors/new", type="conda", name="x", exclude="a\nb", action="save"
        )
        assert answer.status == 422
        page = Page(await answer.text())
        page.check()
        assert "source: is missing" in page.text
        assert any(one.get("value") == "x" for one in page.all("input"))
        assert "a b" in page.text

    play(tmp_path, script)


def test_the_form_is_read_aloud_before_it_is_sent(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answer = await _post(
            desk, "/mirrors/new", **FORM, frequency="30 2 * * sat", policy=NO_X.name,
            exclude="left*", platforms="linux64", action="check",
        )  # fmt: skip
        page = Page(await answer.text())
        page.check()
        assert "02:30" in page.text
        assert "Refuse what is named x*" in page.text
        assert "left*" in page.text
        assert "doubtful platforms: ['linux64']" in page.text
        assert len(desk.mirrors.list()) == 2
        made = await _post(desk, "/mirrors/new", **FORM, platforms="linux64")
        page = Page(await (await desk.client.get(made.headers["Location"])).text())
        page.check()
        assert "doubtful platforms: ['linux64']" in page.text

    play(tmp_path, script)


def test_what_is_wrong_is_said_when_the_form_is_read_aloud(tmp_path: Path) -> None:
    wrong = {"type": "conda", "name": "x", "mode": "active", "frequency": "often"}

    async def script(desk: Desk) -> None:
        answer = await _post(desk, "/mirrors/new", **wrong, action="check")
        assert answer.status == 422
        page = Page(await answer.text())
        page.check()
        assert "source: is missing" in page.text
        assert "Frequency: write five fields" in page.text
        assert len(desk.mirrors.list()) == 2

    play(tmp_path, script)


def test_how_often_a_mirror_is_run_stands_beside_the_expression(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        new = await _page(desk, "/mirrors/new")
        assert "Runs: At 00:00 on the first day of every month, UTC." in new.text
        await _post(desk, "/mirrors/new", **FORM, frequency="30 2 * * sat")
        edited = await _page(desk, "/mirrors/conda%2Fours/edit")
        assert "Runs: At 02:30 on Saturday, UTC." in edited.text

    play(tmp_path, script)


def test_a_search_that_finds_nothing_offers_a_wider_one(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        page = await _page(desk, "/mirrors/conda%2Flab?package=nothing")
        assert "No index that is here lists nothing." in page.text
        assert "/mirrors/conda%2Flab?package=%2Anothing%2A" in page.links
        page = await _page(desk, "/mirrors/conda%2Flab?package=%2Anothing%2A")
        assert not [link for link in page.links if "package=" in link]

    play(tmp_path, script)


def test_a_report_of_dependencies_is_offered_where_there_is_one(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for name, specs, is_offered in (("a", "numpy", True), ("b", "", False)):
            await _post(desk, "/mirrors/new", **{**FORM, "name": name, "specs": specs})
            links = (await _page(desk, f"/mirrors/conda%2F{name}")).links
            assert (f"/mirrors/conda%2F{name}/report" in links) is is_offered

    play(tmp_path, script)


def test_what_the_configuration_outdid_can_be_deleted(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.mirrors.shadow("conda/lab")
        page = await _page(desk, "/mirrors")
        assert "not served" in page.text
        assert "/mirrors/conda%2Flab/delete" in page.links
        page = await _page(desk, "/mirrors/conda%2Flab/delete")
        page.check()
        assert "stays as it is" in page.text
        await _post(desk, "/mirrors/conda%2Flab/delete")
        assert "not served" not in (await _page(desk, "/mirrors")).text
        assert desk.mirrors.show("conda/lab").definition.origin is Origin.CONFIGURATION

    play(tmp_path, script)


def test_of_an_established_mirror_mode_and_name_are_fixed(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _post(desk, "/mirrors/new", **FORM)
        page = await _page(desk, "/mirrors/conda%2Fours/edit")
        fixed = [one["name"] for one in page.all("input") if "readonly" in one]
        assert sorted(fixed) == ["mode", "name", "type"]
        done = await _post(desk, "/mirrors/conda%2Fours/edit", **{**FORM, "newest": "2"})
        assert done.headers["Location"] == "/mirrors/conda%2Fours?said=edited"
        assert desk.mirrors.show("conda/ours").definition.values["newest"] == 2
        wrong = await _post(desk, "/mirrors/conda%2Fours/edit", **{**FORM, "mode": "passive"})
        assert wrong.status == 422

    play(tmp_path, script)


def test_runs_are_begun_watched_and_stopped(tmp_path: Path) -> None:
    lab = "/mirrors/conda%2Flab"

    async def script(desk: Desk) -> None:
        begun = await _post(desk, f"{lab}/run")
        assert begun.headers["Location"] == f"{lab}?said=run"
        page = await _page(desk, lab)
        (bar,) = page.all("progress")
        assert (bar["max"], bar["value"]) == ("60", "17")
        assert "1.5 MB of 6 MB" in page.text
        assert "no-x" in page.text
        again = await _post(desk, f"{lab}/run")
        assert again.status == 409
        assert "goes on" in await again.text()
        await _post(desk, f"{lab}/stop")
        desk.mirrors.end("conda/lab", RunState.STOPPED)
        assert "stopped" in (await _page(desk, lab)).text

    play(tmp_path, script)


def test_freezing_and_deleting_are_asked_for_first(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _post(desk, "/mirrors/conda%2Flab/freeze")
        page = await _page(desk, "/mirrors/conda%2Flab/unfreeze")
        assert "2 files would come, 0 go, 1 change" in page.text
        await _post(desk, "/mirrors/conda%2Flab/unfreeze")
        assert desk.mirrors.show("conda/lab").frozen_at is None
        await _post(desk, "/mirrors/new", **FORM)
        assert "Delete conda/ours?" in (await _page(desk, "/mirrors/conda%2Fours/delete")).text
        gone = await _post(desk, "/mirrors/conda%2Fours/delete")
        assert gone.headers["Location"] == "/mirrors?said=deleted"
        assert len(desk.mirrors.list()) == 2

    play(tmp_path, script)


@pytest.mark.parametrize(
    "end", ["new", "conda%2Flab/run", "conda%2Flab/freeze", "conda%2Flab/delete"]
)
def test_a_form_that_is_not_ours_does_nothing(tmp_path: Path, end: str) -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.client.post(f"/mirrors/{end}", data=FORM)
        assert answer.status == 403
        assert len(desk.mirrors.list()) == 2
        assert desk.mirrors.show("conda/lab").frozen_at is None

    play(tmp_path, script)


def test_the_page_of_a_run_says_that_the_processors_were_busy(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.mirrors.run("conda/lab")
        assert "processors" not in (await _page(desk, "/mirrors/conda%2Flab/runs/0001")).text
        desk.mirrors.end("conda/lab")
        page = await _page(desk, "/mirrors/conda%2Flab/runs/0001")
        assert "All processors were busy until" in page.text

    play(tmp_path, script)
