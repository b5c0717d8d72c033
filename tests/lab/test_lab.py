"""The lab itself: released clients work with its upstreams when no proxy is between them."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.lab.channel import Form, Layout, build_channel, tree
from tests.lab.clients import ClientError, Pip, PypiClient, Rattler, Uv, current_pip, fetch
from tests.lab.origin import Basic, Behaviour, Fault, Origin, PathToken
from tests.lab.simple_index import Degraded, build_index

pytestmark = pytest.mark.clients

ALL = frozenset(Form)


@pytest.mark.parametrize(
    "layout",
    [
        Layout(),
        Layout(forms=frozenset({Form.JSON})),
        Layout(forms=frozenset({Form.ZST})),
        Layout(forms=ALL, run_exports=True, channeldata=True, notices=True),
        Layout(pool="pool"),
        Layout(forms=ALL, pool="pool"),
    ],
    ids=["usual", "json", "zst", "all", "pool", "sharded pool"],
)
def test_rattler_installs_the_tree_straight_from_a_channel(tmp_path: Path, layout: Layout) -> None:
    build_channel(tmp_path / "www" / "lab", layout=layout)
    with Origin(tmp_path / "www") as origin:
        prefix = Rattler(tmp_path / "client").install(f"{origin.url}/lab", "app")
    installed = {path.parent.name for path in prefix.glob("share/*/payload.bin")}
    assert installed == {recipe.name for recipe in tree()}


def test_rattler_follows_a_relation_to_a_sibling_channel(tmp_path: Path) -> None:
    everything = tree()
    layout = Layout(relations={"base": "../below"})
    build_channel(tmp_path / "www" / "upper", everything[:1], layout)
    build_channel(tmp_path / "www" / "below", everything[1:])
    with Origin(tmp_path / "www") as origin:
        records = Rattler(tmp_path / "client").solve(f"{origin.url}/upper", "app")
    assert {record.name.normalized for record in records} == {recipe.name for recipe in everything}


@pytest.mark.parametrize("client", [Pip, Uv])
def test_pip_and_uv_install_straight_from_a_full_index(
    tmp_path: Path, client: type[Pip | Uv]
) -> None:
    build_index(tmp_path / "www")
    with Origin(tmp_path / "www") as origin:
        site = client(tmp_path / "client").install(f"{origin.url}/simple/", "lab-app")
        assert origin.asked("*.whl.metadata")
    assert _modules(site) == {"lab_app", "lab_web", "lab_tool", "lab_core"}
    assert (site / "lab_web-2.0.dist-info").is_dir()


@pytest.mark.parametrize("client", [Pip, Uv])
def test_pip_and_uv_install_straight_from_a_degraded_index(
    tmp_path: Path, client: type[Pip | Uv]
) -> None:
    (tmp_path / "files").mkdir()
    poor = Behaviour(validators=False)
    with Origin(tmp_path / "files", poor) as files, Origin(tmp_path / "www", poor) as pages:
        build_index(tmp_path / "www", kind=Degraded(files=tmp_path / "files", url=files.url))
        installing: PypiClient = client(tmp_path / "client")
        site = installing.install(f"{pages.url}/simple/", "lab-app")
        assert not pages.asked("*.whl*")
    assert _modules(site) == {"lab_app", "lab_web", "lab_tool", "lab_core"}


@pytest.mark.live
def test_a_current_pip_installs_straight_from_a_full_index(tmp_path: Path) -> None:
    try:
        command = current_pip(tmp_path)
    except ClientError as error:
        pytest.skip(f"a current pip cannot be had: {error}")
    build_index(tmp_path / "www")
    with Origin(tmp_path / "www") as origin:
        site = Pip(tmp_path / "client", command).install(f"{origin.url}/simple/", "lab-app")
    assert _modules(site) == {"lab_app", "lab_web", "lab_tool", "lab_core"}


def test_the_origin_negotiates_simple_pages(tmp_path: Path) -> None:
    build_index(tmp_path)
    json_type = "application/vnd.pypi.simple.v1+json"
    with Origin(tmp_path) as origin:
        page = fetch(f"{origin.url}/simple/lab-core/", headers={"Accept": json_type})
        assert page.headers["content-type"] == json_type
        page = fetch(f"{origin.url}/simple/lab-core/")
        assert page.headers["content-type"] == "text/html"
        assert page.headers["vary"] == "Accept"


def test_the_origin_answers_conditions_and_ranges(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with Origin(tmp_path) as origin:
        url = f"{origin.url}/file"
        whole = fetch(url)
        assert fetch(url, headers={"If-None-Match": whole.headers["etag"]}).status == 304
        assert fetch(url, headers={"Range": "bytes=10-19"}).body == whole.body[10:20]
        assert fetch(url, headers={"Range": "bytes=-5"}).body == whole.body[-5:]
        changed = {"Range": "bytes=10-19", "If-Range": '"another"'}
        assert fetch(url, headers=changed).status == 200
        assert fetch(url, headers={"Range": "bytes=100-"}).status == 416
        head = fetch(url, method="HEAD")
        assert (head.headers["content-length"], head.body) == ("100", b"")


def test_the_origin_wants_its_credentials(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    with Origin(tmp_path, Behaviour(auth=Basic(user="me", password="secret"))) as origin:
        assert fetch(f"{origin.url}/file").status == 401
        named = {"Authorization": "Basic bWU6c2VjcmV0"}
        assert fetch(f"{origin.url}/file", headers=named).status == 200
        origin.behaviour = Behaviour(auth=PathToken(token="tk"))
        assert fetch(f"{origin.url}/file").status == 401
        assert fetch(f"{origin.url}/t/tk/file").body == b"body"


def test_the_origin_fails_to_order(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    with Origin(tmp_path) as origin:
        url = f"{origin.url}/file"
        origin.fail("/file", Fault.CORRUPT)
        assert fetch(url).body == bytes(byte ^ 0xFF for byte in b"body")
        origin.heal()
        origin.fail("/f*", Fault.TRUNCATE)
        with pytest.raises(http.client.IncompleteRead):
            fetch(url)
        origin.heal()
        origin.fail("/file", Fault.UNAVAILABLE)
        assert fetch(url).status == 503
        with origin.stopped(), pytest.raises(ConnectionError):
            fetch(url)
        origin.heal()
        assert fetch(url).body == b"body"


def test_a_failing_client_shows_what_it_printed(tmp_path: Path) -> None:
    build_index(tmp_path / "www")
    with (
        Origin(tmp_path / "www") as origin,
        pytest.raises(ClientError, match="lab-absent"),
    ):
        Uv(tmp_path / "client").install(f"{origin.url}/simple/", "lab-absent")


def _modules(site: Path) -> set[str]:
    return {path.parent.name for path in site.glob("*/__init__.py")}
