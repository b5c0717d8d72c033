"""The API: its description is a valid one, and every answer is what the description says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from proxy.core.digest import Digest
from proxy.core.model import Absence, Entry, Expected, Validators, View
from proxy.observe.happenings import Sort
from tests.web.admin.desk import HOSTILE, NO_X, Desk, play

API = "/api/v1"


async def described(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = await (await desk.client.get(f"{API}/openapi.json")).json()
    return found


def check(document: dict[str, Any], path: str, method: str, status: int, answer: Any) -> None:
    """*answer* is what *document* promises."""
    told = document["paths"][path][method]["responses"][str(status)]["content"]
    ((_, content),) = told.items()
    schema = {**content["schema"], "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(answer)


async def _held(desk: Desk, path: str, body: bytes) -> Digest:
    spool = await desk.blobs.spool()
    await spool.write([body])
    stored = await spool.commit(Expected())
    spool.close()
    entry = Entry(
        key=f"conda/lab {path}",
        digest=stored.digest,
        size=stored.size,
        media_type="application/x",
        source=path,
        url="https://host.example.org/x",
        validators=Validators(),
        checked_at=5.0,
        fresh_for=1.0,
    )
    await desk.catalog.put(entry)
    return stored.digest


GETS = [
    ("/overview", ""),
    ("/overview", "?seconds=86400&mirror=conda/lab"),
    ("/upstreams", ""),
    ("/events", "?sort=refusal&limit=2"),
    ("/cache", ""),
    ("/cache/entries", "?mirror=conda/lab&pattern=*.conda"),
    ("/policies", ""),
    ("/policies/{name}", "no-x"),
    ("/policy/explain", "?mirror=conda/lab&package=x"),
    ("/frequency", "?text=30+2+*+*+sat"),
]


@pytest.mark.parametrize(("path", "query"), GETS)
def test_answers_are_as_described(tmp_path: Path, path: str, query: str) -> None:
    async def script(desk: Desk) -> None:
        await desk.history.take()
        await _held(desk, "x.conda", b"x")
        desk.metrics.hidden("conda/lab", "x", 3)
        desk.metrics.upstream_answered("conda/lab", "UpstreamTimeout", 0.1)
        for sort in Sort:
            desk.happenings.tell(sort, mirror="conda/lab", what="x", cause="x", text=HOSTILE)
        document = await described(desk)
        url = API + (path.replace("{name}", query) if "{" in path else path + query)
        answer = await desk.client.get(url)
        assert answer.status == 200
        check(document, API + path, "get", 200, await answer.json())

    play(tmp_path, script)


VULNERABLE = '[[rule]]\nname = "leaky"\ndeny = { vulnerability = true }'
BAD = [
    ("GET", "/overview?seconds=x", None, 400),
    ("GET", "/overview?seconds=1", None, 400),
    ("GET", "/overview?second=60", None, 400),
    ("GET", "/overview?seconds=60&seconds=61", None, 400),
    ("GET", "/overview?mirror=conda/none", None, 404),
    ("GET", "/cache/entries", None, 400),
    ("GET", "/cache/entries?mirror=conda/none", None, 404),
    ("GET", "/policies/none-such", None, 404),
    ("GET", "/policy/explain?mirror=conda/none&package=x", None, 404),
    ("GET", "/frequency?text=often", None, 422),
    ("POST", "/policy/check", {"text": "rule = 1"}, 422),
    ("POST", "/policy/check", {"txt": ""}, 422),
    ("POST", "/policy/diff", {"mirror": "conda/lab"}, 422),
    ("POST", "/policy/diff", {"mirror": "conda/lab", "new": "none-such"}, 404),
    ("POST", "/policy/diff", {"mirror": "conda/lab", "text": VULNERABLE}, 422),
    ("POST", "/cache/purge", {"mirror": "conda/none", "pattern": "*"}, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), BAD)
def test_refusals_are_as_described(
    tmp_path: Path, method: str, path: str, body: Any, status: int
) -> None:
    async def script(desk: Desk) -> None:
        document = await described(desk)
        answer = await desk.client.request(method, API + path, json=body)
        told = await answer.json(content_type="application/problem+json")
        assert (answer.status, told["status"]) == (status, status)
        assert told["detail"]
        plain = API + path.partition("?")[0].replace("none-such", "{name}")
        check(document, plain, method.lower(), status, told)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/events?sort=often", "write refusal or integrity or upstream"),
        ("/overview?seconds=x", "Expected `float`, got `str` - at `$.seconds`"),
        ("/mirrors/conda/lab", "<type>%2F<name>"),
    ],
)
def test_a_refusal_says_what_to_write(tmp_path: Path, path: str, words: str) -> None:
    async def script(desk: Desk) -> None:
        told = await (await desk.client.get(API + path)).json(content_type=None)
        assert words in told["detail"]

    play(tmp_path, script)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{API}/cache/purge"
        assert (await desk.client.post(url, data="{}")).status == 415
        headers = {"Content-Type": "application/json"}
        assert (await desk.client.post(url, data="{", headers=headers)).status == 400
        wrong = await desk.client.put(url)
        assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
        assert (await desk.client.get(f"{API}/nothing")).status == 404

    play(tmp_path, script)


def test_what_is_purged_is_gone_and_nothing_else(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await _held(desk, "linux-64/x-1.conda", b"only here")
        shared = await _held(desk, "linux-64/x-2.conda", b"in two places")
        await _held(desk, "noarch/y-2.conda", b"in two places")
        await desk.catalog.put(Absence(key="conda/lab x-3", checked_at=1.0, fresh_for=1.0))
        view = View(key="view conda/lab linux-64/x-1.conda\ta\tb", digest=shared, size=13,
                    media_type="", made_at=1.0)  # fmt: skip
        await desk.catalog.put(view)
        purge = {"mirror": "conda/lab", "pattern": "*x-*"}
        answer = await desk.client.post(f"{API}/cache/purge", json=purge)
        document = await described(desk)
        told = await answer.json()
        check(document, f"{API}/cache/purge", "post", 200, told)
        assert told == {"paths": 3, "bytes": 9}
        assert list(desk.catalog.values) == ["conda/lab noarch/y-2.conda"]
        assert desk.blobs.path(shared).exists()
        found = await (await desk.client.get(f"{API}/cache")).json()
        assert found["mirrors"] == {"conda/lab": {"entries": 1, "absences": 0, "bytes": 13}}

    play(tmp_path, script)


def test_a_long_search_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for number in range(5):
            await _held(desk, f"x-{number}", b"x")
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            url = f"{API}/cache/entries?mirror=conda/lab&pattern=x-*&limit=2&after={after}"
            found = await (await desk.client.get(url)).json()
            assert found["matching"] == 5
            seen += [one["path"] for one in found["entries"]]
            after = found["next"]
        assert seen == [f"x-{number}" for number in range(5)]

    play(tmp_path, script)


def test_a_policy_is_checked_and_compared(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "big"\ndeny = { larger_than = "1 GB" }\n'

    async def script(desk: Desk) -> None:
        document = await described(desk)
        answer = await desk.client.post(f"{API}/policy/check", json={"text": text})
        told = await answer.json()
        assert answer.status == 200, told
        check(document, f"{API}/policy/check", "post", 200, told)
        assert "conda" in told["fits"]
        assert told["warnings"] == []
        every = '[[rule]]\nname = "all"\ndeny = { names = ["*"] }\n'
        draft = {"text": every + every.replace("all", "rest")}
        (warning,) = (await (await desk.client.post(f"{API}/policy/check", json=draft)).json())[
            "warnings"
        ]
        assert warning.startswith("draft.toml:4: rule rest: can never matter: rule all ")
        change = {"mirror": "conda/lab", "old": "none", "new": NO_X.name}
        told = await (await desk.client.post(f"{API}/policy/diff", json=change)).json()
        check(document, f"{API}/policy/diff", "post", 200, told)
        assert told["hidden"] == {"x": 1}
        assert [one["filename"] for one in told["files"]] == ["x-1.conda"]

    play(tmp_path, script)


def test_events_are_streamed_from_where_the_client_was(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for what in ("one", "two"):
            desk.happenings.tell(Sort.REFUSAL, mirror="conda/lab", what=what, cause="x", text="")
        headers = {"Last-Event-ID": "1"}
        stream = await desk.client.get(f"{API}/events/stream", headers=headers)
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
        event = (await stream.content.readuntil(b"\n\n")).decode()
        assert event.startswith("id: 2\nevent: refusal\ndata: {")
        desk.happenings.tell(Sort.INTEGRITY, mirror="conda/lab", what="3", cause="x", text="a\nb")
        event = (await stream.content.readuntil(b"\n\n")).decode()
        assert event.startswith("id: 3\nevent: integrity\n")
        desk.happenings.close()
        assert await stream.content.read() == b""

    play(tmp_path, script)


def test_secrets_of_sources_are_not_told(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        text = await (await desk.client.get(f"{API}/upstreams")).text()
        assert "host.example.org" in text
        assert "u:pw" not in text

    play(tmp_path, script)
