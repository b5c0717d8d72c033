"""pip and uv install through the proxy, from a full index and from the poorest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.clients.conftest import World
from tests.lab.clients import ClientError, Pip, PypiClient, Reply, Uv, current_pip, fetch

pytestmark = pytest.mark.clients

JSON = "application/vnd.pypi.simple.v1+json"
NEEDED = {"lab_app", "lab_web", "lab_tool", "lab_core"}


def _modules(site: Path) -> set[str]:
    return {path.parent.name for path in site.glob("*/__init__.py")}


def _wheel_requests(world: World) -> list[str]:
    seen = [*world.origin.seen, *world.file_host.seen]
    # A range is a look into a wheel for its metadata.
    whole = [one for one in seen if "range" not in one.headers]
    return sorted(one.path for one in whole if one.path.endswith(".whl"))


def _page(world: World, mirror: str, project: str, accept: str = JSON) -> Reply:
    return fetch(f"{world.simple(mirror)}{project}/", headers={"Accept": accept})


@pytest.mark.parametrize("mirror", ["full", "poor"])
@pytest.mark.parametrize("client", [Pip, Uv])
def test_a_second_client_and_one_without_upstream_get_all_from_the_cache(
    world: World, tmp_path: Path, client: Callable[[Path], PypiClient], mirror: str
) -> None:
    client(tmp_path / "cold").install(world.simple(mirror), "lab-app")
    world.origin.forget()
    world.file_host.forget()
    warm = client(tmp_path / "warm").install(world.simple(mirror), "lab-app")
    assert _modules(warm) == NEEDED
    assert _wheel_requests(world) == []
    with world.upstream_stopped():
        alone = client(tmp_path / "alone").install(world.simple(mirror), "lab-app")
    assert _modules(alone) == NEEDED


@pytest.mark.parametrize("mirror", ["full", "poor"])
def test_a_cold_download_asks_upstream_once_for_each_wheel(
    world: World, tmp_path: Path, mirror: str
) -> None:
    world.origin.forget()
    world.file_host.forget()
    downloads = Pip(tmp_path).download(world.simple(mirror), "lab-lone", "lab-big")
    assert {path.name: path.read_bytes() for path in downloads.iterdir()} == {
        name: world.index(mirror).files[name].body
        for name in ("lab_lone-1.0-py3-none-any.whl", "lab_big-1.0-py3-none-any.whl")
    }
    asked = _wheel_requests(world)
    assert len(asked) == len(set(asked)) == 2


def test_resolving_takes_no_wheel_from_an_index_without_metadata(
    world: World, tmp_path: Path
) -> None:
    world.file_host.forget()
    mirror = f"{world.proxy.url}/pypi/bare/simple/"
    dry = ["install", "--dry-run", "--target", "x", "--index-url", mirror, "lab-app"]
    assert "lab-core" in Uv(tmp_path).run("pip", *dry)
    assert _wheel_requests(world) == []
    assert [seen for seen in world.file_host.seen if "range" in seen.headers]


def test_pip_installs_by_hash(world: World, tmp_path: Path) -> None:
    listed = world.full.files["lab_lone-1.0-py3-none-any.whl"]
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"lab-lone==1.0 --hash=sha256:{listed.sha256}\n")
    site = Pip(tmp_path).install(world.simple("full"), "--require-hashes", "-r", str(wanted))
    assert _modules(site) == {"lab_lone"}


@pytest.mark.live
def test_a_current_pip_installs_cold_and_without_upstream(world: World, tmp_path: Path) -> None:
    try:
        runs = current_pip(tmp_path)
    except ClientError as error:
        pytest.skip(f"a current pip cannot be had: {error}")
    Pip(tmp_path / "cold", runs).install(world.simple("full"), "lab-app")
    with world.upstream_stopped():
        site = Pip(tmp_path / "alone", runs).install(world.simple("full"), "lab-app")
    assert _modules(site) == NEEDED


@pytest.mark.parametrize("mirror", ["full", "poor"])
def test_file_links_stay_here_and_keep_their_hashes(world: World, mirror: str) -> None:
    reply = _page(world, mirror, "lab-core")
    assert reply.headers["content-type"] == JSON
    (file,) = json.loads(reply.body)["files"]
    listed = world.index(mirror).files[file["filename"]]
    url = urljoin(f"{world.simple(mirror)}lab-core/", file["url"])
    assert urlsplit(url).netloc == urlsplit(world.proxy.url).netloc
    assert not urlsplit(url).query
    assert file["hashes"] == {"sha256": listed.sha256}
    assert fetch(url).body == listed.body


def test_keys_that_the_proxy_does_not_know_survive(world: World) -> None:
    page = json.loads(_page(world, "full", "lab-core").body)
    assert page["x-unknown"] == {"kept": True}
    assert page["meta"]["_last-serial"] == 7


@pytest.mark.parametrize("mirror", ["full", "poor"])
def test_both_forms_are_served_whichever_upstream_speaks(world: World, mirror: str) -> None:
    as_json = _page(world, mirror, "lab-web")
    as_html = _page(world, mirror, "lab-web", accept="text/html")
    assert as_html.headers["content-type"].startswith("text/html")
    for file in json.loads(as_json.body)["files"]:
        assert file["filename"] in as_html.body.decode()
    assert as_json.headers["etag"] != as_html.headers["etag"]


def test_metadata_is_served_as_advertised(world: World) -> None:
    (file,) = json.loads(_page(world, "full", "lab-core").body)["files"]
    url = urljoin(f"{world.simple('full')}lab-core/", file["url"]) + ".metadata"
    listed = world.full.files[file["filename"]]
    assert file["core-metadata"] == {"sha256": listed.metadata_sha256}
    assert fetch(url).body == listed.metadata


def test_head_of_a_wheel_not_fetched_yet_has_its_true_length(world: World) -> None:
    page = json.loads(_page(world, "stale", "lab-web").body)
    for file in page["files"]:
        url = urljoin(f"{world.simple('stale')}lab-web/", file["url"])
        size = len(world.full.files[file["filename"]].body)
        assert fetch(url, method="HEAD").headers["content-length"] == str(size)


def test_a_stale_page_is_revalidated_and_served_while_upstream_is_down(world: World) -> None:
    first = _page(world, "stale", "lab-app")
    world.origin.forget()
    second = _page(world, "stale", "lab-app")
    assert second.body == first.body
    (asked,) = world.origin.asked("/full/simple/lab-app/")
    assert "if-none-match" in asked.headers
    with world.upstream_stopped():
        assert _page(world, "stale", "lab-app").body == first.body


def test_a_304_repeats_the_validators_and_no_other_content_type(world: World) -> None:
    page = _page(world, "full", "lab-app")
    condition = {"Accept": JSON, "If-None-Match": page.headers["etag"]}
    again = fetch(f"{world.simple('full')}lab-app/", headers=condition)
    assert (again.status, again.headers["etag"]) == (304, page.headers["etag"])
    assert again.headers.get("content-type", JSON) == JSON


def test_an_unknown_project_is_404(world: World) -> None:
    assert _page(world, "full", "lab-absent").status == 404


def test_files_on_another_host_are_asked_without_the_index_password(world: World) -> None:
    url = json.loads(_page(world, "bare", "lab-core").body)["files"][0]["url"]
    fetch(urljoin(f"{world.simple('bare')}lab-core/", url))
    assert world.file_host.asked("*.whl")
    assert not any("authorization" in seen.headers for seen in world.file_host.seen)
