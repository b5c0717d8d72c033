"""The administration of a real server: its doors, its workers' events, its API under fire."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.lab.channel import Recipe, build_channel
from tests.lab.clients import fetch
from tests.lab.origin import Fault, Origin
from tests.lab.server import MirrorConfig, ProxyServer, clean_environment, eventually, free_port

TOKEN = "hunter2-hunter2-hunter2"
TRIES = 12
"""Requests for each operation and mode: enough to meet each parameter's edges."""

RECIPES = (Recipe(name="lab"), Recipe(name="secret"), Recipe(name="broken"))


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    root = tmp_path / "origin"
    build_channel(root / "lab", RECIPES)
    with Origin(root) as made:
        yield made


def _server(folder: Path, origin: Origin, workers: int = 1, **admin: Any) -> ProxyServer:
    lab = MirrorConfig(
        type="conda", name="lab", source=f"{origin.url}/lab", options={"exclude": ["secret"]}
    )
    return ProxyServer(folder / "server", [lab], workers=workers, tables={"admin": admin})


def _get(url: str, path: str) -> Any:
    return json.loads(fetch(url + path).body)


def test_events_of_all_workers_come_together(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    admin = f"http://127.0.0.1:{port}"
    origin.fail("*/broken-*", Fault.CORRUPT)
    with _server(tmp_path, origin, workers=2, listen=f"127.0.0.1:{port}") as server:
        for _ in range(20):  # the kernel chooses the worker
            assert fetch(f"{server.url}/conda/lab/noarch/secret-1.0-0.conda").status == 403
        fetch(f"{server.url}/conda/lab/noarch/lab-1.0-0.conda")
        with contextlib.suppress(http.client.IncompleteRead):  # refused or broken off
            fetch(f"{server.url}/conda/lab/noarch/broken-1.0-0.conda")

        def told() -> set[tuple[str, str]]:
            found = _get(admin, "/api/v1/events")
            return {(one["sort"], one["mirror"]) for one in found}

        eventually(lambda: ("integrity", "conda/lab") in told(), "the wrong body is told")
        refusals = _get(admin, "/api/v1/events?sort=refusal")
        assert len(refusals) == 20
        assert {one["cause"] for one in refusals} == {"exclude"}
        overview = _get(admin, "/api/v1/overview")
        assert overview["since_start"]["refused"] == 20
        assert overview["since_start"]["requests"] == 22
        origin.stop()
        fetch(f"{server.url}/conda/lab/noarch/none-1.0-0.conda")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_run_meets_is_counted_and_told_as_what_clients_meet(
    tmp_path: Path, origin: Origin, workers: int
) -> None:
    port = free_port()
    admin = f"http://127.0.0.1:{port}"
    origin.fail("*/broken-*", Fault.CORRUPT)
    server = _server(tmp_path, origin, workers, listen=f"127.0.0.1:{port}")
    server.mirrors = [server.mirrors[0].with_options(mode="active")]
    with server:
        begun = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        begun.request("POST", "/api/v1/mirrors/conda%2Flab/run")
        assert begun.getresponse().status == 202
        begun.close()

        def told() -> set[tuple[str, str]]:
            return {(one["sort"], one["mirror"]) for one in _get(admin, "/api/v1/events")}

        eventually(lambda: ("integrity", "conda/lab") in told(), "the wrong body is told")
        counted = server.metric("pkgproxy_upstream_bytes_total", mirror="conda/lab")
        assert counted > (tmp_path / "origin/lab/noarch/lab-1.0-0.conda").stat().st_size
        (health,) = _get(admin, "/api/v1/upstreams")
        assert sum(health["requests"].values()) >= 3, "both indexes and the files"


def test_what_is_no_request_is_told_as_a_problem_and_not_repeated(
    tmp_path: Path, origin: Origin
) -> None:
    port = free_port()
    with _server(tmp_path, origin, listen=f"127.0.0.1:{port}") as server:
        for line in (f"GET /api/v1/events?after={9 * 1000 * 'x'} HTTP/1.1", "no request at all"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode())
                answer = http.client.HTTPResponse(client)
                answer.begin()
                assert answer.status == 400
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert json.loads(answer.read())["detail"] == "this is no request"
        eventually(lambda: server.log.count("bad_request") == 2, "both are logged")
        assert "Traceback" not in server.log


def test_upstreams_failures_are_told_and_its_health(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    admin = f"http://127.0.0.1:{port}"
    with _server(tmp_path, origin, listen=f"127.0.0.1:{port}") as server:
        origin.stop()
        assert fetch(f"{server.url}/conda/lab/noarch/repodata.json").status == 503
        (health,) = _get(admin, "/api/v1/upstreams")
        assert health["state"] == "away"
        assert health["last_failure"]["cause"] == "UpstreamFailed"
        assert "noarch/repodata.json" in health["last_failure"]["what"]


def test_what_was_purged_is_fetched_again(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    admin = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with _server(tmp_path, origin, listen=f"127.0.0.1:{port}") as server:
        url = f"{server.url}/conda/lab/noarch/lab-1.0-0.conda"
        listing = f"{server.url}/conda/lab/noarch/repodata.json"
        first, index = fetch(url), fetch(listing)
        fetched = server.metric("pkgproxy_upstream_bytes_total")
        purge = json.dumps({"mirror": "conda/lab", "pattern": "*"})
        admin.request("POST", "/api/v1/cache/purge", purge, {"Content-Type": "application/json"})
        answer = admin.getresponse()
        assert (answer.status, json.loads(answer.read())["paths"] >= 2) == (200, True)
        assert (fetch(url).body, fetch(listing).body) == (first.body, index.body)
        assert server.metric("pkgproxy_upstream_bytes_total") == 2 * fetched
    admin.close()


def test_a_token_for_everything_administers(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    tables = {
        "admin": {"listen": f"127.0.0.1:{port}", "credentials": "boss"},
        "credentials.boss": {"kind": "bearer", "token": TOKEN},
    }
    server = ProxyServer(tmp_path / "server", [], tables=tables)
    server.write_config()

    def token(scope: str) -> dict[str, str]:
        made = subprocess.run(
            [sys.executable, "-m", "proxy", "token", "create", scope, "--config",
             str(server.config_file), "--scope", scope],
            cwd=Path(__file__).parents[3],
            env=clean_environment(tmp_path),
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        found = re.search(r"pkp-\S+", made.stdout)
        assert found is not None
        return {"Authorization": f"Bearer {found[0]}"}

    all_of_it, reading = token("admin"), token("read")
    with server:
        url = f"http://127.0.0.1:{port}/api/v1/overview"
        assert fetch(url).status == 401
        assert fetch(url, headers=reading).status == 401
        assert fetch(url, headers=all_of_it).status == 200
        assert fetch(url, headers={"Authorization": f"Bearer {TOKEN}"}).status == 200


def test_the_socket_is_for_the_servers_user_alone(tmp_path: Path, origin: Origin) -> None:
    path = tmp_path / "admin.sock"
    with _server(tmp_path, origin, socket=str(path)) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /api/v1/overview HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
        # A server that was killed leaves its socket; the next one takes its place.
        server.signal(signal.SIGKILL)
        server.wait()
        assert path.exists()
        server.start()
    assert not path.exists()


def test_an_address_in_use_is_said_so(tmp_path: Path, origin: Origin) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        server = _server(tmp_path, origin, listen=listen)
        with pytest.raises(AssertionError, match=f"admin.listen: cannot listen on {listen}"):
            server.start()


def test_the_api_keeps_what_its_description_promises(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    with _server(tmp_path, origin, listen=f"127.0.0.1:{port}") as server:
        fetch(f"{server.url}/conda/lab/noarch/lab-1.0-0.conda")
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/api/v1/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) > 10
        for operation in operations:
            if not operation.path.endswith("/stream"):
                for mode in GenerationMode:
                    _fire(operation, mode)


def _fire(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=TRIES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        # What a text or a name says can be wrong although its type is right: 422 is an answer.
        case.call_and_validate(timeout=20, excluded_checks=[positive_data_acceptance])

    # Of an operation without parameters nothing can be got wrong.
    with contextlib.suppress(Unsatisfiable):
        call()
