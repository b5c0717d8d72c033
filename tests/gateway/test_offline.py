"""Offline: upstream is never asked, what is here is served however old, and lists may say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.model import Index
from proxy.core.policy import Names
from proxy.errors import Denied, Offline, UpstreamMissing
from proxy.gateway.answer import Want
from proxy.gateway.explaining import Question
from proxy.gateway.present import LOOKED_FOR
from tests.ecosystems.policies import deny, policy
from tests.gateway.test_deriving import META, METADATA, wheel
from tests.gateway.world import HOST, NAME, PACKAGE, World, channel, play
from tests.lab.fake_upstream import FakeFile

OTHER = "other-1.0-0.conda"
TWO = {NAME: PACKAGE, OTHER: b"other"}
INDEX = "linux-64/repodata.json"
YEARS = 10 * 365 * 86400.0
STRICT = "max-age=1, must-revalidate"

WHEEL = wheel(META)
FIRST, SECOND = (f"sample-{version}-py3-none-any.whl" for version in ("1.0", "2.0"))
PAGE = "simple/sample/"


def go_offline(it: World, **more: Any) -> None:
    """From now on all mirrors are offline, and nothing has been asked."""
    for key, mirror in it.mirrors.items():
        bounds = replace(mirror.bounds, offline=True)
        it.mirrors[key] = replace(mirror, bounds=bounds, **more)
    it.gateway.configure(it.mirrors.values())
    it.upstream.asks.clear()


def offline(
    folder: Path,
    before: Callable[[World], Awaitable[object]],
    then: Callable[[World], Awaitable[None]],
    files: dict[str, Any],
    **more: Any,
) -> None:
    """Run *before* online, then *then* offline, years later; upstream must hear nothing."""

    async def script(it: World) -> None:
        await before(it)
        await it.settled()
        go_offline(it, **more)
        it.now += YEARS
        await then(it)
        await it.settled()
        assert it.upstream.asks == []

    play(folder, script, files)


def names(body: bytes) -> list[str]:
    return sorted(json.loads(body)["packages.conda"])


@pytest.mark.parametrize("control", [None, STRICT, "no-store", "no-cache"])
def test_an_index_is_served_however_old_and_whatever_upstream_once_said(
    tmp_path: Path, control: str | None
) -> None:
    async def before(it: World) -> None:
        await it.read("conda/c", INDEX)

    async def then(it: World) -> None:
        answer = await it.open("conda/c", INDEX)
        assert str(answer.status).startswith("pkgproxy; hit; ttl=-")
        assert "detail=Offline" in str(answer.status)
        await answer.close()
        assert it.told.stale_causes == ["Offline"]
        assert names(await it.read("conda/c", INDEX)) == [NAME]

    offline(tmp_path, before, then, channel(cache_control=control))


@pytest.mark.parametrize("control", [None, STRICT])
def test_a_plain_file_is_served_however_old(tmp_path: Path, control: str | None) -> None:
    async def before(it: World) -> None:
        await it.read("files/f", "a")

    async def then(it: World) -> None:
        answer = await it.open("files/f", "a")
        assert "detail=Offline" in str(answer.status)
        await answer.close()
        assert await it.read("files/f", "a") == b"plain"

    file = FakeFile(body=b"plain", etag='"a"', cache_control=control)
    offline(tmp_path, before, then, {f"{HOST}/tree/a": file})


def test_a_stored_package_is_served_and_another_is_not_said_to_be_absent(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        await it.read("conda/c", f"linux-64/{NAME}")

    async def then(it: World) -> None:
        assert await it.read("conda/c", f"linux-64/{NAME}") == PACKAGE
        for want in (None, Want(head=True), Want(byte_range="bytes=0-1")):
            with pytest.raises(Offline):
                await it.read("conda/c", f"linux-64/{OTHER}", want)

    offline(tmp_path, before, then, channel(TWO))


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("conda/c", INDEX),
        ("conda/c", f"linux-64/{NAME}"),
        ("conda/c", "channeldata.json"),
        ("pypi/p", PAGE),
        ("pypi/p", "simple/"),
        ("files/f", "a"),
    ],
)
@pytest.mark.parametrize("head", [False, True])
def test_what_was_never_here_cannot_be_had(tmp_path: Path, key: str, path: str, head: bool) -> None:
    async def before(it: World) -> None:
        pass

    async def then(it: World) -> None:
        resource = it.resource(key, path)
        form = resource.forms[0] if isinstance(resource, Index) else None
        with pytest.raises(Offline):
            await it.read(key, path, Want(form=form, head=head))

    offline(tmp_path, before, then, {})


def test_files_that_clients_do_without_are_absent(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        pass

    async def then(it: World) -> None:
        with pytest.raises(UpstreamMissing):
            await it.read("conda/c", "notices.json")

    offline(tmp_path, before, then, {})


# -- only what is here -------------------------------------------------------------------


def test_the_index_lists_only_what_is_here_in_every_form(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        await it.read("conda/c", f"linux-64/{NAME}")
        assert names(await it.read("conda/c", INDEX)) == sorted(TWO)

    async def then(it: World) -> None:
        assert names(await it.read("conda/c", INDEX)) == [NAME]
        assert await it.read("conda/c", f"linux-64/{NAME}") == PACKAGE
        with pytest.raises(Offline):
            await it.read("conda/c", f"linux-64/{OTHER}")
        shards = await it.read("conda/c", "linux-64/repodata_shards.msgpack.zst")
        assert shards
        assert it.told.hidden[INDEX] == {"offline": 1}

    offline(tmp_path, before, then, channel(TWO), only_present=True)


def test_its_views_are_named_by_what_is_here(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        await it.read("conda/c", f"linux-64/{NAME}")
        await it.read("conda/c", f"linux-64/{OTHER}")

    async def then(it: World) -> None:
        whole = await it.open("conda/c", INDEX)
        await whole.close()
        entry = await it.catalog.get(f"conda/c linux-64/{OTHER}")
        await it.blobs.remove([entry.digest])  # type: ignore[union-attr]
        it.now += LOOKED_FOR
        less = await it.open("conda/c", INDEX)
        await less.close()
        assert whole.etag != less.etag
        assert names(await it.read("conda/c", INDEX)) == [NAME]

    offline(tmp_path, before, then, channel(TWO), only_present=True)


def test_what_is_here_is_still_judged(tmp_path: Path) -> None:
    rule = policy(deny(Names(("thing",)), "no-thing"))

    async def before(it: World) -> None:
        for name in TWO:
            await it.read("conda/c", f"linux-64/{name}")

    async def then(it: World) -> None:
        assert names(await it.read("conda/c", INDEX)) == [OTHER]
        with pytest.raises(Denied):
            await it.read("conda/c", f"linux-64/{NAME}")

    offline(tmp_path, before, then, channel(TWO), only_present=True, policy=rule)


def test_what_is_missing_is_explained(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        await it.read("conda/c", f"linux-64/{NAME}")

    async def then(it: World) -> None:
        question = Question(mirror=it.mirrors["conda/c"], policies=(None,))
        found = {one.filename: one.verdicts[0] for one in await it.engine.explain(question)}
        assert not found[NAME].hides
        assert (found[OTHER].hides, found[OTHER].rule) == (True, "offline")

    offline(tmp_path, before, then, channel(TWO), only_present=True)


def project() -> dict[str, FakeFile | bytes]:
    """Two wheels; upstream has the metadata of both beside them."""
    digest = hashlib.sha256
    files = [
        {
            "filename": name,
            "url": f"{HOST}/files/{name}",
            "hashes": {"sha256": digest(body).hexdigest()},
            "core-metadata": {"sha256": digest(METADATA).hexdigest()},
        }
        for name, body in ((FIRST, WHEEL), (SECOND, b"another"))
    ]
    page = {"meta": {"api-version": "1.1"}, "name": "sample", "files": files}
    kind = "application/vnd.pypi.simple.v1+json"
    return {
        f"{HOST}/{PAGE}": FakeFile(body=json.dumps(page).encode(), media_type=kind),
        f"{HOST}/files/{FIRST}": WHEEL,
        f"{HOST}/files/{FIRST}.metadata": METADATA,
        f"{HOST}/files/{SECOND}": b"another",
    }


async def listed(it: World) -> dict[str, str]:
    """The paths of the project's files by name."""
    index = it.resource("pypi/p", PAGE)
    assert isinstance(index, Index)
    form = next(form for form in index.forms if form.name == "json")
    page = json.loads(await it.read("pypi/p", PAGE, Want(form=form)))
    return {one["filename"]: one["url"].removeprefix("../../") for one in page["files"]}


def test_a_project_s_page_lists_only_what_is_here_with_its_metadata(tmp_path: Path) -> None:
    paths: dict[str, str] = {}

    async def before(it: World) -> None:
        paths.update(await listed(it))
        assert await it.read("pypi/p", paths[FIRST]) == WHEEL

    async def then(it: World) -> None:
        assert await listed(it) == {FIRST: paths[FIRST]}
        # Promised by the page, never fetched: it is read out of the wheel.
        for _ in range(2):
            assert await it.read("pypi/p", f"{paths[FIRST]}.metadata") == METADATA
        with pytest.raises(Offline):
            await it.read("pypi/p", paths[SECOND])

    offline(tmp_path, before, then, project(), only_present=True)


def test_online_everything_is_listed(tmp_path: Path) -> None:
    async def script(it: World) -> None:
        it.rule(None, only_present=True)
        assert names(await it.read("conda/c", INDEX)) == sorted(TWO)

    play(tmp_path, script, channel(TWO))
