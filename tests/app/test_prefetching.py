"""Prefetch over a real server's administration: begun, watched, stopped; then upstream is cut."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.channel import Recipe, build_channel
from tests.lab.clients import Uv, fetch
from tests.lab.origin import Fault, Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually, free_port
from tests.lab.simple_index import build_index, family

RECIPES = (
    Recipe(name="app", depends=("base >=1",)),
    Recipe(name="base"),
    Recipe(name="other"),
    Recipe(name="secret"),
)
REQUIREMENTS = {"name": "requirements.txt", "text": "-c limits.txt\nlab-app\n"}
LIMITS = {"name": "limits.txt", "text": "lab-web<3\n"}
FINAL = ("completed", "completed with failures", "stopped", "failed")


class Desk:
    """A server with a conda and a pypi mirror, and its administration."""

    def __init__(self, folder: Path, origin: Origin, **tables: Any) -> None:
        self.origin = origin
        self._port = free_port()
        mirrors = [
            MirrorConfig(
                type="conda",
                name="lab",
                source=f"{origin.url}/lab",
                options={"exclude": ["secret"]},
            ),
            MirrorConfig(type="pypi", name="py", source=f"{origin.url}/py/simple/"),
        ]
        admin = {"listen": f"127.0.0.1:{self._port}"}
        self.server = ProxyServer(folder / "server", mirrors, tables={"admin": admin, **tables})

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        admin = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            admin.request(method, f"/api/v1/prefetch{path}", json.dumps(body), headers)
            answer = admin.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            admin.close()

    def begin(self, **wish: object) -> str:
        status, begun = self.ask("POST", "", wish)
        assert (status, begun["state"]) == (202, "queued"), begun
        return str(begun["id"])

    def end(self, id_: str) -> Any:
        eventually(
            lambda: self.ask("GET", f"/{id_}")[1]["prefetch"]["state"] in FINAL,
            "the prefetch is over",
            within=60,
        )
        return self.ask("GET", f"/{id_}")[1]

    def stream(self, id_: str) -> list[Any]:
        """What its stream tells until it ends."""
        url = f"http://127.0.0.1:{self._port}/api/v1/prefetch/{id_}/stream"
        told = fetch(url).body.decode().split("\n\n")
        return [json.loads(one.partition("data: ")[2]) for one in told if "data: " in one]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    root = tmp_path / "origin"
    build_channel(root / "lab", RECIPES)
    build_index(root / "py", family())
    with Origin(root) as origin:
        made = Desk(tmp_path, origin)
        with made.server:
            yield made


def test_what_files_need_is_there_when_upstream_is_not(desk: Desk, tmp_path: Path) -> None:
    environment = {"name": "environment.yml", "text": "channels: [lab]\ndependencies: [app]\n"}
    id_ = desk.begin(
        files=[REQUIREMENTS, environment], beside=[LIMITS], platforms=["linux-64"], pythons=["3.11"]
    )
    standings = desk.stream(id_)
    assert [one["state"] for one in standings][-1] == "completed"
    assert standings[-1]["files"] == standings[-1]["fetched"] + standings[-1]["present"] == 10
    assert desk.ask("GET", "")[1][0] == standings[-1]
    again = desk.end(desk.begin(files=[REQUIREMENTS], beside=[LIMITS], platforms=["linux-64"]))
    assert (again["prefetch"]["fetched"], again["prefetch"]["present"]) == (0, 8)
    desk.origin.stop()
    assert fetch(f"{desk.server.url}/conda/lab/noarch/app-1.0-0.conda").status == 200
    installed = Uv(tmp_path / "uv").install(
        f"{desk.server.url}/pypi/py/simple/", "lab-app", "lab-web<3"
    )
    assert installed is not None


def test_paths_are_fetched_and_what_cannot_be_had_is_listed(desk: Desk) -> None:
    there, hidden, gone = (
        f"conda/lab/noarch/{name}-1.0-0.conda" for name in ("other", "secret", "nobody")
    )
    found = desk.end(desk.begin(paths=[there, hidden, gone]))
    assert found["prefetch"]["state"] == "completed with failures"
    assert (found["prefetch"]["fetched"], found["prefetch"]["failed"]) == (1, 2)
    assert {(one["where"], one["rule"]) for one in found["failures"]} == {
        (hidden, "exclude"),
        (gone, "unlisted"),
    }


def test_mirrors_that_are_not_public_are_prefetched_all_the_same(
    desk: Desk, tmp_path: Path
) -> None:
    private = Desk(tmp_path / "private", desk.origin, access={"public": []})
    path = "conda/lab/noarch/other-1.0-0.conda"
    with private.server:
        assert fetch(f"{private.server.url}/{path}").status == 401
        assert private.end(private.begin(paths=[path]))["prefetch"]["fetched"] == 1


def test_what_prefetch_asks_is_no_clients_request(desk: Desk) -> None:
    desk.end(desk.begin(paths=["conda/lab/noarch/other-1.0-0.conda"]))
    assert desk.server.metric("pkgproxy_requests_total") == 0


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({}, "nothing is asked for"),
        ({"files": [{"name": "r.txt", "text": "one\n==two\n"}]}, "r.txt, line 2: "),
        ({"files": [REQUIREMENTS]}, "requirements.txt, line 1: limits.txt was not sent along"),
        ({"files": [{"name": "../r.txt", "text": ""}]}, "'../r.txt' is no name"),
        ({"files": [{"name": "uv.lock", "text": "["}]}, "uv.lock: is not TOML"),
        ({"files": [{"name": "what", "text": ""}]}, "what: its name does not tell its format"),
        ({"paths": ["conda/none/a"]}, "is in no mirror here"),
        ({"paths": ["conda/lab/../../a"]}, "paths: "),
        ({"paths": ["pypi/py/simple/"], "platforms": ["beos"]}, "platforms beos: write one of"),
        ({"files": [REQUIREMENTS], "jobs": 1000}, "$.jobs"),
        ({"files": "requirements.txt"}, "$.files"),
    ],
)
def test_what_is_wrong_is_told_at_once(desk: Desk, wish: dict[str, Any], told: str) -> None:
    status, problem = desk.ask("POST", "", wish)
    assert (status, told in problem["detail"]) == (422, True), problem
    assert desk.ask("GET", "") == (200, [])


def test_what_fits_no_mirror_fails_with_the_reason(desk: Desk) -> None:
    renv = json.dumps({"Packages": {"a": {"Package": "a", "Version": "1", "Source": "Repository"}}})
    found = desk.end(desk.begin(files=[{"name": "renv.lock", "text": renv}]))
    told = found["prefetch"]["error"] or found["failures"][0]["reason"]
    assert "no mirror of type cran" in told


def test_one_is_stopped_and_leaves_what_was_fetched(desk: Desk) -> None:
    paths = [f"conda/lab/noarch/{name}-1.0-0.conda" for name in ("other", "base", "app")]
    with desk.origin.holding("*/base-*") as held:
        id_, waiting = desk.begin(paths=paths, jobs=1), desk.begin(paths=paths)
        held.wait_reached()
        assert desk.ask("POST", f"/{waiting}/stop")[0] == 202
        assert desk.end(waiting)["prefetch"]["started_at"] is None
        status, stopping = desk.ask("POST", f"/{id_}/stop")
        assert (status, stopping["state"]) == (202, "stopping")
        eventually(
            lambda: desk.ask("GET", f"/{id_}")[1]["prefetch"]["doing"].startswith("ending"),
            "it has heard that it is to stop",
        )
    found = desk.end(id_)["prefetch"]
    assert (found["state"], found["fetched"]) == ("stopped", 2)
    assert desk.ask("POST", f"/{id_}/stop")[0] == 409
    assert desk.ask("POST", "/none/stop")[0] == 404
    assert fetch(f"{desk.server.url}/conda/lab/noarch/base-1.0-0.conda").status == 200


def test_the_server_ends_in_the_middle_of_one(desk: Desk) -> None:
    with desk.origin.holding("*/base-*") as held:
        desk.begin(paths=["conda/lab/noarch/base-1.0-0.conda"])
        held.wait_reached()
        desk.server.signal(signal.SIGTERM)
        assert desk.server.wait() == 0


def test_a_wrong_body_is_no_success(desk: Desk) -> None:
    desk.origin.fail("*/other-*", Fault.CORRUPT)
    found = desk.end(desk.begin(paths=["conda/lab/noarch/other-1.0-0.conda"]))
    assert found["prefetch"]["state"] == "completed with failures"
