"""Released conda clients solve and install through the proxy, whatever their channel offers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.conftest import LAYOUTS, World
from tests.lab.channel import Recipe, package_bytes, tree
from tests.lab.clients import Conda, Rattler, fetch

pytestmark = pytest.mark.clients

SHARD_INDEX = "noarch/repodata_shards.msgpack.zst"
INDEX_FORMS = [
    "repodata.json",
    "repodata.json.zst",
    "repodata.json.bz2",
    "current_repodata.json",
    "repodata_shards.msgpack.zst",
]


def _package_requests(world: World) -> list[str]:
    endings = (".conda", ".tar.bz2")
    return sorted(seen.path for seen in world.origin.seen if seen.path.endswith(endings))


def _installed(prefix: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in prefix.glob("share/*/payload.bin")}


@pytest.mark.parametrize("mirror", LAYOUTS)
def test_rattler_installs_cold_warm_and_without_upstream(
    world: World, tmp_path: Path, mirror: str
) -> None:
    world.origin.forget()
    cold = Rattler(tmp_path / "cold").install(world.channel(mirror), "app")
    assert set(_installed(cold)) == {recipe.name for recipe in tree()}
    fetched = _package_requests(world)
    assert len(fetched) == len(set(fetched)) == 8

    warm = Rattler(tmp_path / "warm").install(world.channel(mirror), "app")
    assert _installed(warm) == _installed(cold)
    assert _package_requests(world) == fetched, "the second client caused package requests"

    with world.upstream_stopped():
        alone = Rattler(tmp_path / "alone").install(world.channel(mirror), "app")
    assert _installed(alone) == _installed(cold)


@pytest.mark.parametrize("mirror", LAYOUTS)
def test_rattler_gets_shards_whether_upstream_has_them_or_not(
    world: World, tmp_path: Path, mirror: str
) -> None:
    assert fetch(f"{world.channel(mirror)}/{SHARD_INDEX}").status == 200
    client = Rattler(tmp_path)
    client.solve(world.channel(mirror), "app")
    assert list(client.folder.rglob("shards-v1/*")), "no shard in the client's cache"


@pytest.mark.parametrize("mirror", LAYOUTS)
@pytest.mark.parametrize("subdir", ["noarch", "linux-64"])
def test_head_says_what_get_says(world: World, mirror: str, subdir: str) -> None:
    for form in INDEX_FORMS:
        url = f"{world.channel(mirror)}/{subdir}/{form}"
        cold, get, warm = fetch(url, method="HEAD"), fetch(url), fetch(url, method="HEAD")
        assert cold.status == get.status == warm.status, form
        assert cold.body == warm.body == b""
        for name in ("content-length", "etag", "content-type"):
            assert warm.headers.get(name) == get.headers.get(name), (form, name)
            # Before the body is here nobody knows its length; nothing wrong may be said of it.
            assert cold.headers.get(name) in (None, get.headers.get(name)), (form, name)


def test_head_of_a_package_not_fetched_yet_has_its_true_length(world: World) -> None:
    recipe = Recipe(name="web", version="1.0", depends=("core",))
    url = f"{world.channel('usual')}/noarch/{recipe.filename}"
    expected = str(len(package_bytes(recipe)))
    assert fetch(url, method="HEAD").headers["content-length"] == expected
    assert fetch(url).body == package_bytes(recipe)


def test_every_form_has_an_etag_of_its_own_and_another_forms_etag_is_no_match(
    world: World,
) -> None:
    base = f"{world.channel('everything')}/noarch"
    tags = {form: fetch(f"{base}/{form}").headers.get("etag", "") for form in INDEX_FORMS}
    assert tags.pop("repodata.json.bz2") == "", "the deprecated form is offered"
    assert len(set(tags.values()) - {""}) == len(INDEX_FORMS) - 1
    for form, tag in tags.items():
        others = ", ".join(one for other, one in tags.items() if other != form)
        crossed = fetch(f"{base}/{form}", headers={"If-None-Match": others})
        assert crossed.status == 200, f"{form} was taken for another form"
        own = fetch(f"{base}/{form}", headers={"If-None-Match": tag})
        assert (own.status, own.headers.get("etag")) == (304, tag)


def test_a_stale_index_is_revalidated_not_fetched_again(world: World) -> None:
    url = f"{world.channel('stale')}/noarch/repodata.json"
    first = fetch(url)
    world.origin.forget()
    second = fetch(url)
    assert (second.body, second.headers["etag"]) == (first.body, first.headers["etag"])
    asked = world.origin.asked("/channels/usual/noarch/*")
    assert len(asked) == 1
    assert "if-none-match" in asked[0].headers


def test_a_stale_index_is_served_while_upstream_is_down(world: World) -> None:
    url = f"{world.channel('stale')}/linux-64/repodata.json"
    first = fetch(url)
    with world.upstream_stopped():
        assert fetch(url).body == first.body


def test_relations_lead_to_siblings_that_are_served_here(world: World, tmp_path: Path) -> None:
    records = Rattler(tmp_path).solve(world.channel("upper"), "app")
    assert {record.name.normalized for record in records} == {recipe.name for recipe in tree()}
    assert all(str(record.url).startswith(world.proxy.url) for record in records)


def test_a_relation_to_a_channel_not_served_here_is_dropped(world: World, tmp_path: Path) -> None:
    for subdir in ("noarch", "linux-64"):
        repodata = fetch(f"{world.channel('orphan')}/{subdir}/repodata.json").body
        assert "channel_relations" not in json.loads(repodata)["info"]
    prefix = Rattler(tmp_path).install(world.channel("orphan"), "app")
    assert "app" in _installed(prefix)


def test_shards_are_cached_though_the_client_says_no_store(world: World) -> None:
    url = f"{world.channel('everything')}/{SHARD_INDEX}"
    fetch(url, headers={"Cache-Control": "no-store"})
    with world.upstream_stopped():
        assert fetch(url, headers={"Cache-Control": "no-store"}).status == 200


def test_a_package_that_is_not_listed_is_404_after_one_look_upstream(world: World) -> None:
    fetch(f"{world.channel('usual')}/noarch/repodata.json")
    world.origin.forget()
    assert fetch(f"{world.channel('usual')}/noarch/absent-1.0-0.conda").status == 404
    assert len(world.origin.asked("/channels/usual/noarch/*repodata*")) <= 1


@pytest.mark.parametrize("mirror", LAYOUTS)
def test_conda_installs_cold_warm_and_without_upstream(
    world: World, tmp_path: Path, mirror: str
) -> None:
    if Conda.executable() is None:
        pytest.skip("there is no conda on PATH, nor does CONDA_EXE name one")
    cold = Conda(tmp_path / "cold").install(world.channel(mirror), "app")
    assert set(_installed(cold)) == {recipe.name for recipe in tree()}
    world.origin.forget()
    Conda(tmp_path / "warm").install(world.channel(mirror), "app")
    assert _package_requests(world) == []
    with world.upstream_stopped():
        Conda(tmp_path / "alone").install(world.channel(mirror), "app")
