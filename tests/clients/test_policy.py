"""Released clients resolve around what a policy hides, and print why something is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin

import pytest
from rattler.exceptions import SolverError

from tests.lab.channel import Layout, Recipe, build_channel
from tests.lab.clients import ClientError, Conda, Pip, Rattler, Uv, fetch
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually
from tests.lab.simple_index import Wheel, build_index

pytestmark = pytest.mark.clients

REASON = "Version 2 leaks; ask secure-team for the fix."
POLICY = f"""
[[rule]]
name = "leaky-two"
types = ["pypi"]
deny = {{ specs = ["lab-web==2.*"] }}
reason = "{REASON}"

[[rule]]
name = "vulnerable"
types = ["pypi"]
deny = {{ vulnerability = {{ score = 7 }} }}

[[rule]]
name = "old-tool"
types = ["pypi"]
warn = {{ specs = ["lab-tool<2"] }}
reason = "Please move to lab-tool 2."

[[rule]]
name = "cool-down"
types = ["pypi"]
deny = {{ names = ["lab-new"], younger_than = "3650d" }}
reason = "New releases can be installed after a while."

[[rule]]
name = "leaky-two-conda"
types = ["conda"]
deny = {{ specs = ["web 2.*"] }}
reason = "{REASON}"

[[rule]]
name = "not-here"
deny = {{ names = ["lab-secret", "secret"] }}
reason = "{REASON}"
"""
CLOSED = """
default = "deny"
[[rule]]
name = "wanted"
allow = { specs = ["sly"], dependencies = true }
"""
RECIPES = (
    Recipe(name="web", version="1.0"),
    Recipe(name="web", version="2.0"),
    Recipe(name="app", depends=("web",)),
    Recipe(name="secret"),
    Recipe(name="sly", depends=("secret",)),
)
WHEELS = (
    Wheel(name="lab-app", depends=("lab-web", "lab-tool")),
    Wheel(name="lab-web", version="1.0"),
    Wheel(name="lab-web", version="2.0"),
    Wheel(name="lab-tool", version="1.0"),
    Wheel(name="lab-tool", version="2.0"),
    Wheel(name="lab-secret"),
    Wheel(name="lab-new", version="1.0"),
    Wheel(name="lab-odd", version="1.0"),
    Wheel(name="lab-odd", version="1.1"),
)
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "lab-odd"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]},
            ],
        }
    ],
}
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An upstream, and a proxy with a policy for all mirrors."""

    origin: Origin
    proxy: ProxyServer

    @property
    def channel(self) -> str:
        return f"{self.proxy.url}/conda/c"

    @property
    def simple(self) -> str:
        return f"{self.proxy.url}/pypi/p/simple/"

    def wheel(self, version: str, name: str = "lab-web") -> str:
        """Where a wheel is served, hidden or not: all mirrors have the same paths."""
        page = f"{self.proxy.url}/pypi/open/simple/{name}/"
        files = json.loads(fetch(page, headers=JSON).body)["files"]
        (url,) = [one["url"] for one in files if f"-{version}-" in one["filename"]]
        return urljoin(f"{self.simple}{name}/", str(url))

    def fetched(self, part: str) -> list[str]:
        return [seen.path for seen in self.origin.seen if part in seen.path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("policy")
    build_channel(folder / "www" / "channel", RECIPES, Layout(run_exports=True))
    build_index(folder / "www" / "index", WHEELS)
    with Origin(folder / "www") as origin:
        mirrors = [
            MirrorConfig(type="conda", name="c", source=f"{origin.url}/channel/"),
            MirrorConfig(
                type="conda",
                name="open",
                source=f"{origin.url}/channel/",
                options={"policy": "none", "exclude": ["s*"], "include": ["sly"]},
            ),
            MirrorConfig(
                type="conda",
                name="closed",
                source=f"{origin.url}/channel/",
                options={"policy": "closed"},
            ),
            MirrorConfig(type="pypi", name="p", source=f"{origin.url}/index/simple/"),
            MirrorConfig(
                type="pypi",
                name="open",
                source=f"{origin.url}/index/simple/",
                options={"policy": "none"},
            ),
        ]
        (folder / "osv").mkdir()
        (folder / "osv" / "PYSEC-2026-1.json").write_text(json.dumps(ADVISORY))
        tables = {"": {"policy": "house"}, "advisories": {"osv": str(folder / "osv")}}
        proxy = ProxyServer(folder / "proxy", mirrors, tables=tables)
        (folder / "proxy" / "policies").mkdir()
        (folder / "proxy" / "policies" / "house.toml").write_text(POLICY)
        (folder / "proxy" / "policies" / "closed.toml").write_text(CLOSED)
        with proxy:
            yield World(origin=origin, proxy=proxy)


def _pypi(folder: Path) -> list[Pip | Uv]:
    return [Pip(folder / "pip"), Uv(folder / "uv")]


def test_pip_and_uv_take_what_is_allowed(world: World, tmp_path: Path) -> None:
    for client in _pypi(tmp_path):
        site = client.install(world.simple, "lab-app")
        assert (site / "lab_web-1.0.dist-info").exists()
    assert not world.fetched("lab_web-2.0")


def test_pip_and_uv_print_a_warning_with_its_reason(world: World, tmp_path: Path) -> None:
    pip = Pip(tmp_path / "pip")
    target = ["--target", str(tmp_path / "site"), "--index-url", world.simple]
    assert "Please move to lab-tool 2." in pip.run("install", *target, "lab-tool==1.0")
    uv = Uv(tmp_path / "uv")
    target = ["--target", str(tmp_path / "uv-site"), "--index-url", world.simple]
    assert "Please move to lab-tool 2." in uv.run("pip", "install", *target, "lab-tool==1.0")


def test_pip_and_uv_say_why_a_file_is_refused(world: World, tmp_path: Path) -> None:
    url = world.wheel("2.0")
    for client in _pypi(tmp_path):
        with pytest.raises(ClientError) as refused:
            client.install(world.simple, f"lab-web @ {url}")
        assert "leaky-two" in str(refused.value)
        assert REASON.rstrip(".") in " ".join(str(refused.value).split())
    assert not world.fetched("lab_web-2.0")


def test_pip_and_uv_say_from_when_on_a_new_file_is_allowed(world: World, tmp_path: Path) -> None:
    url = world.wheel("1.0", "lab-new")
    when = "New releases can be installed after a while (allowed from 2033-11-11 23:00 UTC)"
    for client in _pypi(tmp_path):
        with pytest.raises(ClientError) as refused:
            client.install(world.simple, f"lab-new @ {url}")
        assert when in " ".join(str(refused.value).split())
    problem = json.loads(fetch(url).body)
    assert (problem["reason"], problem["until"]) == (f"{when}.", "2033-11-11T23:00:00+00:00")


def test_a_blocked_project_has_no_versions_and_does_not_send_uv_elsewhere(
    world: World, tmp_path: Path
) -> None:
    for client in _pypi(tmp_path):
        with pytest.raises(ClientError):
            client.install(world.simple, "lab-secret")
    assert fetch(f"{world.simple}lab-secret/").status == 200
    assert not world.fetched("lab_secret-")


def test_rattler_solves_around_what_is_hidden(world: World, tmp_path: Path) -> None:
    client = Rattler(tmp_path)
    records = client.solve(world.channel, "app")
    found = {record.name.normalized: str(record.version) for record in records}
    assert found == {"app": "1.0", "web": "1.0"}
    for spec in ("web 2.*", "sly"):
        with pytest.raises(SolverError):
            client.solve(world.channel, spec)
    assert (client.install(world.channel, "app") / "share/web/payload.bin").exists()
    assert not world.fetched("web-2.0")


def test_a_mirrors_own_lists_are_its_policy(world: World, tmp_path: Path) -> None:
    client = Rattler(tmp_path)
    channel = f"{world.proxy.url}/conda/open"
    assert [str(one.version) for one in client.solve(channel, "web")] == ["2.0"]
    for spec in ("secret", "sly"):
        with pytest.raises(SolverError):
            client.solve(channel, spec)
    assert fetch(f"{channel}/noarch/sly-1.0-0.conda").status == 200
    assert fetch(f"{channel}/noarch/secret-1.0-0.conda").status == 403


@pytest.mark.skipif(Conda.executable() is None, reason="conda is not installed here")
def test_conda_solves_around_what_is_hidden(world: World, tmp_path: Path) -> None:
    prefix = Conda(tmp_path).install(world.channel, "app")
    assert (prefix / "conda-meta" / "web-1.0-0.json").exists()
    url = f"{world.channel}/noarch/web-2.0-0.conda"
    with pytest.raises(ClientError) as refused:
        Conda(tmp_path / "exact").install(world.channel, url)
    assert "leaky-two-conda" in str(refused.value)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}])
def test_a_refusal_is_a_problem_that_people_and_programs_can_read(
    world: World, method: str, headers: dict[str, str]
) -> None:
    for url in (
        f"{world.channel}/noarch/web-2.0-0.conda",
        world.wheel("2.0"),
        f"{world.wheel('2.0')}.metadata",
    ):
        reply = fetch(url, method=method, headers=headers)
        assert reply.status == 403
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["cache-control"] == "no-store"
        if method == "GET":
            problem = json.loads(reply.body)
            assert problem["rule"].startswith("leaky-two")
            assert problem["reason"] == REASON
            assert REASON in problem["detail"]


def test_the_server_explains_each_file_of_a_package(world: World) -> None:
    fetch(f"{world.channel}/noarch/repodata.json")
    api = f"{world.proxy.url}/api/v1/policy/explain"
    found = json.loads(fetch(f"{api}?mirror=conda/c&package=web").body)
    assert found["policy"] == "house"
    effects = {one["filename"]: (one["effect"], one["rule"]) for one in found["files"]}
    assert effects == {
        "web-1.0-0.conda": ("allow", "default"),
        "web-2.0-0.conda": ("deny", "leaky-two-conda"),
    }
    assert fetch(f"{api}?mirror=conda/none&package=web").status == 404
    assert fetch(api).status == 400


def test_the_command_line_explains_and_compares(world: World) -> None:
    fetch(f"{world.channel}/noarch/repodata.json")

    def policy(*arguments: str) -> str:
        command = [sys.executable, "-m", "proxy", "policy", *arguments]
        where = ["--config", str(world.proxy.config_file)]
        run = subprocess.run([*command, *where], check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    explained = policy("explain", "conda/c", "web")
    assert "web-2.0-0.conda: deny by leaky-two-conda: Version 2 leaks" in explained
    assert "web-1.0-0.conda: allow by default" in explained
    changed = policy("diff", "none", "house", "--mirror", "conda/c")
    assert "2 files would be hidden, 0 brought back." in changed
    assert "- noarch/repodata.json: web-2.0-0.conda" in changed
    assert "Indexes that are here and were looked at: " in changed
    back = json.loads(policy("diff", "house", "none", "--mirror", "conda/c", "--json"))
    assert {one["filename"] for one in back} == {"web-2.0-0.conda", "secret-1.0-0.conda"}
    summed_up = policy("summary", "conda/c")
    assert "Refuse what is matched by web 2.*" in summed_up
    assert "Always refuse what is known to be malicious" in summed_up
    assert "lab-tool" not in summed_up  # that rule is for pypi mirrors


def test_a_vulnerability_is_named_to_whoever_asks(world: World, tmp_path: Path) -> None:
    for client in _pypi(tmp_path):
        site = client.install(world.simple, "lab-odd")
        assert (site / "lab_odd-1.1.dist-info").exists()
    command = [sys.executable, "-m", "proxy", "policy", "explain", "pypi/p", "lab-odd"]
    where = ["--config", str(world.proxy.config_file)]
    run = subprocess.run([*command, *where], check=True, capture_output=True, text=True)
    odd = "lab_odd-1.0-py3-none-any.whl: deny by vulnerable: with a known vulnerability"
    assert odd in run.stdout
    assert "(CVE-2026-0001)" in run.stdout
    assert "lab_odd-1.1-py3-none-any.whl: allow by default" in run.stdout


def test_an_allow_list_installs_with_all_that_it_needs(world: World, tmp_path: Path) -> None:
    channel = f"{world.proxy.url}/conda/closed"
    prefix = Rattler(tmp_path).install(channel, "sly")
    assert {path.parent.name for path in prefix.glob("share/*/payload.bin")} == {"sly", "secret"}
    with pytest.raises(SolverError):
        Rattler(tmp_path / "other").solve(channel, "web")
    command = [sys.executable, "-m", "proxy", "policy", "dependencies", "conda/closed"]
    where = ["--format", "csv", "--config", str(world.proxy.config_file)]
    run = subprocess.run([*command, *where], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "subdir,filename,name,version,through",
        "noarch,secret-1.0-0.conda,secret,1.0,sly 1.0",
        "noarch,sly-1.0-0.conda,sly,1.0,",
    ]


def test_refusals_and_hidden_files_are_counted(world: World) -> None:
    fetch(f"{world.channel}/noarch/web-2.0-0.conda")
    rule = "leaky-two-conda"
    assert world.proxy.metric("pkgproxy_policy_refusals_total", mirror="conda/c", rule=rule) >= 1
    assert world.proxy.metric("pkgproxy_policy_hidden_files", mirror="conda/c", rule=rule) == 1


def test_a_reload_takes_the_new_policy_over_at_once(tmp_path: Path) -> None:
    build_channel(tmp_path / "www" / "channel", RECIPES)
    with Origin(tmp_path / "www") as origin:
        mirror = MirrorConfig(type="conda", name="c", source=f"{origin.url}/channel/")
        with ProxyServer(tmp_path / "proxy", [mirror]) as proxy:
            url = f"{proxy.url}/conda/c/noarch/repodata.json"
            before = fetch(url)
            asked = len(origin.seen)
            proxy.mirrors = [replace(mirror, options={"exclude": ["web"]})]
            proxy.write_config()
            proxy.signal(signal.SIGHUP)
            eventually(lambda: "reloaded" in proxy.log, "the configuration is read again")
            after = fetch(url, headers={"If-None-Match": before.headers["etag"]})
            assert after.status == 200
            listed = json.loads(after.body)["packages.conda"]
            assert not [name for name in listed if name.startswith("web-")]
            assert len(origin.seen) == asked


def test_the_dump_of_advisories_can_come_through_the_proxy_itself(tmp_path: Path) -> None:
    def dump(name: str) -> None:
        """OSV's layout, with one record about *name*."""
        folder = tmp_path / "www" / "dump" / "PyPI"
        folder.mkdir(parents=True, exist_ok=True)
        record = json.dumps(ADVISORY).replace("lab-odd", name)
        with zipfile.ZipFile(folder / "all.zip", "w") as archive:
            archive.writestr("PYSEC-2026-1.json", record)
        (folder / "modified_id.csv").write_text("2026-01-01T00:00:00Z,PYSEC-2026-1\n")

    def listed(proxy: ProxyServer) -> list[str]:
        page = fetch(f"{proxy.url}/pypi/p/simple/lab-odd/", headers=JSON)
        return [one["filename"] for one in json.loads(page.body)["files"]]

    def copy(proxy: ProxyServer) -> None:
        reply = fetch(f"{proxy.url}/files/osv/PyPI/all.zip")
        (here / "all.new").write_bytes(reply.body)
        (here / "all.new").rename(here / "all.zip")

    build_index(tmp_path / "www" / "index", WHEELS)
    dump("something-else")
    here = tmp_path / "osv" / "PyPI"
    here.mkdir(parents=True)
    (here / "all.zip").write_bytes((tmp_path / "www/dump/PyPI/all.zip").read_bytes())
    with Origin(tmp_path / "www") as origin:
        mirrors = [
            MirrorConfig(type="pypi", name="p", source=f"{origin.url}/index/simple/"),
            MirrorConfig(type="files", name="osv", source=f"{origin.url}/dump/"),
        ]
        tables = {
            "": {"policy": "house"},
            "advisories": {"osv": str(here.parent), "interval": "100ms"},
        }
        proxy = ProxyServer(tmp_path / "proxy", mirrors, tables=tables)
        (tmp_path / "proxy" / "policies").mkdir()
        (tmp_path / "proxy" / "policies" / "house.toml").write_text(POLICY)
        with proxy:
            assert len(listed(proxy)) == 2
            dump("lab-odd")
            copy(proxy)
            eventually(lambda: len(listed(proxy)) == 1, "the new advisory counts")
