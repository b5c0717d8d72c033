"""Mirrors over the API: every operation, as described, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.mirror.port import RunState
from tests.web.admin.desk import Desk, play
from tests.web.admin.test_api import API, check, described

MADE = {"type": "conda", "name": "a/b", "source": "https://host.example.org/", "mode": "active"}
LAB = f"{API}/mirrors/conda%2Flab"
ONE = f"{API}/mirrors/{{key}}"


async def _call(  # noqa: PLR0917 - as an HTTP request is written
    desk: Desk, method: str, url: str, path: str, status: int, body: Any = None
) -> Any:
    """The answer, which has that status and is as described."""
    answer = await desk.client.request(method, url, json=body)
    assert answer.status == status, await answer.text()
    if status == 204:
        return None
    told = await answer.json(content_type=None)
    check(await described(desk), path, method.lower(), status, told)
    return told


def test_a_mirror_is_made_edited_run_stopped_and_deleted(tmp_path: Path) -> None:
    url = f"{API}/mirrors/conda%2Fa%2Fb"

    async def script(desk: Desk) -> None:
        made = await _call(desk, "POST", f"{API}/mirrors", f"{API}/mirrors", 201, MADE)
        assert made["definition"]["key"] == "conda/a/b"
        assert made["definition"]["origin"] == "runtime"
        edited = await _call(desk, "PUT", url, ONE, 200, {**MADE, "newest": 3})
        assert edited["definition"]["values"]["newest"] == 3
        run = await _call(desk, "POST", f"{url}/run", f"{ONE}/run", 202)
        assert (run["state"], run["step"]) == ("running", "fetching")
        stopping = await _call(desk, "POST", f"{url}/stop", f"{ONE}/stop", 202)
        assert stopping["state"] == "stopping"
        desk.mirrors.end("conda/a/b", RunState.STOPPED)
        (told,) = await _call(desk, "GET", f"{url}/runs", f"{ONE}/runs", 200)
        assert told["state"] == "stopped"
        details = await _call(desk, "GET", f"{url}/runs/{told['id']}", f"{ONE}/runs/{{run}}", 200)
        assert details["hidden"][0]["files"] == 20
        await _call(desk, "DELETE", url, ONE, 204)
        await _call(desk, "GET", url, ONE, 404)

    play(tmp_path, script)


def test_a_mirror_is_frozen_compared_and_unfrozen(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _call(desk, "GET", f"{LAB}/difference", f"{ONE}/difference", 409)
        frozen = await _call(desk, "POST", f"{LAB}/freeze", f"{ONE}/freeze", 200)
        assert frozen["frozen_at"] is not None
        found = await _call(desk, "GET", f"{LAB}/difference", f"{ONE}/difference", 200)
        assert found["indexes"][0]["added"] == 2
        await _call(desk, "POST", f"{LAB}/unfreeze", f"{ONE}/unfreeze", 200)
        await _call(desk, "POST", f"{LAB}/unfreeze", f"{ONE}/unfreeze", 409)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("method", "end", "status", "body"),
    [
        ("POST", "conda%2Fnone/run", 404, None),
        ("POST", "pypi%2Fpy/run", 409, None),
        ("POST", "conda%2Flab/stop", 409, None),
        ("GET", "conda%2Flab/runs/0009", 404, None),
        ("DELETE", "conda%2Flab", 409, None),
        ("PUT", "conda%2Flab", 409, MADE),
        ("PUT", "conda%2Flab", 422, {"type": {"a": 1}}),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, method: str, end: str, status: int, body: Any
) -> None:
    rest = end.partition("/")[2]
    path = ONE + (f"/{rest}".replace("/0009", "/{run}") if rest else "")

    async def script(desk: Desk) -> None:
        await _call(desk, method, f"{API}/mirrors/{end}", path, status, body)

    play(tmp_path, script)


def test_a_mirror_that_lacks_something_is_refused_with_what(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        body = {"type": "conda", "name": "x"}
        told = await _call(desk, "POST", f"{API}/mirrors", f"{API}/mirrors", 422, body)
        assert "source" in told["detail"]

    play(tmp_path, script)


def test_reports_and_exports(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        report = await _call(desk, "GET", f"{LAB}/report", f"{ONE}/report", 200)
        assert report["kept"][0]["needed_by"] == ["app"]
        path = f"{API}/export"
        assert 'name = "py"' in (await _call(desk, "GET", path, path, 200))["toml"]
        one = await _call(desk, "GET", f"{path}?mirror=conda/lab", path, 200)
        assert 'name = "py"' not in one["toml"]
        await _call(desk, "GET", f"{path}?mirror=conda/none", path, 404)
        assert len(await _call(desk, "GET", f"{API}/mirrors", f"{API}/mirrors", 200)) == 2

    play(tmp_path, script)


def test_progress_is_streamed(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        stream = await desk.client.get(f"{API}/events/stream")
        await stream.content.readuntil(b"\n\n")
        await desk.mirrors.run("conda/lab")
        event = (await stream.content.readuntil(b"\n\n")).decode()
        assert event.startswith("event: run\ndata: {")
        await desk.mirrors.create(MADE)
        event = (await stream.content.readuntil(b"\n\n")).decode()
        assert event.startswith('event: mirror\ndata: {"name":"created"')
        desk.happenings.close()
        assert await stream.content.read() == b""

    play(tmp_path, script)
