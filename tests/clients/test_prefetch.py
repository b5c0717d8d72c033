"""`pkgproxy prefetch` through a running server; then upstream is cut, and clients install."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.channel import Channel, Recipe, build_channel, tree
from tests.lab.clients import ClientError, Pip, R, Rattler, Uv, fetch
from tests.lab.cran import RPackage, build_repository
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, clean_environment, eventually, free_port
from tests.lab.simple_index import Degraded, SimpleIndex, build_index

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[2]
NEEDED = {"lab_app", "lab_web", "lab_tool", "lab_core"}
R_CURRENT = (
    RPackage(name="app", imports=("web (>= 1.0)",)),
    RPackage(name="web", version="2.0", imports=("tool",)),
    RPackage(name="tool"),
)
R_ARCHIVED = (RPackage(name="tool", version="0.9"),)
POLICY = """
[[rule]]
name = "no-big"
deny = { names = ["lab-big"] }
reason = "It is too big; ask platform@example.org."
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """A proxy, and the upstream that it loses when the ship leaves."""

    origin: Origin
    proxy: ProxyServer
    index: SimpleIndex
    channel: Channel
    folder: Path

    def simple(self, mirror: str) -> str:
        return f"{self.proxy.url}/pypi/{mirror}/simple/"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def prefetch(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return prefetch(self.folder, "--url", self.proxy.url, *arguments)

    def report(self, *arguments: str | Path) -> dict[str, Any]:
        ended = self.prefetch("--json", *arguments)
        found: dict[str, Any] = json.loads(ended.stdout)
        return found


def prefetch(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command's end; nobody's terminal."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", "prefetch", *map(str, arguments)],
        cwd=ROOT,
        env=clean_environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Ship]:
    www, files, folder = tmp_path / "www", tmp_path / "files", tmp_path / "work"
    files.mkdir()
    folder.mkdir()
    channel = build_channel(www / "lab", [*tree(), Recipe(name="python", version="3.12.4")])
    index = build_index(www / "full")
    build_repository(www / "cran", R_CURRENT, R_ARCHIVED)
    (tmp_path / "proxy" / "policies").mkdir(parents=True)
    (tmp_path / "proxy" / "policies" / "small.toml").write_text(POLICY)
    with Origin(www) as origin, Origin(files) as file_host:
        build_index(www / "poor", kind=Degraded(files=files, url=file_host.url))
        allow = {"allow_hosts": ["127.0.0.1"]}
        mirrors = [
            MirrorConfig(type="conda", name="lab", source=f"{origin.url}/lab"),
            MirrorConfig(type="cran", name="cran", source=f"{origin.url}/cran/"),
            MirrorConfig(type="pypi", name="full", source=f"{origin.url}/full/simple/"),
            MirrorConfig(
                type="pypi", name="poor", source=f"{origin.url}/poor/simple/", options=allow
            ),
        ]
        with ProxyServer(tmp_path / "proxy", mirrors, tables={"": {"policy": "small"}}) as proxy:
            yield Ship(origin=origin, proxy=proxy, index=index, channel=channel, folder=folder)


def _modules(site: Path) -> set[str]:
    return {path.parent.name for path in site.glob("*/__init__.py")}


@pytest.mark.parametrize("mirror", ["full", "poor"])
def test_what_requirements_need_is_there_when_upstream_is_gone(
    ship: Ship, tmp_path: Path, mirror: str
) -> None:
    wanted = ship.file("requirements.txt", "lab-app\n")
    ended = ship.prefetch(wanted, "--mirror", f"pypi/{mirror}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "fetched: lab_core-1.0-py3-none-any.whl (10" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("8 files, ")
    with ship.origin.stopped():
        for client in (Uv(tmp_path / "uv"), Pip(tmp_path / "pip")):
            assert _modules(client.install(ship.simple(mirror), "lab-app")) == NEEDED
        with pytest.raises(ClientError):
            Uv(tmp_path / "other").install(ship.simple(mirror), "lab-lone")


def test_what_is_there_is_not_fetched_again(ship: Ship) -> None:
    wanted = ship.file("requirements.txt", "lab-app\n")
    first = ship.report(wanted, "-m", "full")
    ship.origin.forget()
    again = ship.report(wanted, "-m", "full")
    assert [one["path"] for one in again["files"]] == [one["path"] for one in first["files"]]
    assert all(one["here"] for one in again["files"])
    assert not ship.origin.asked("*.whl")


def test_an_environment_with_pip_packages_installs_when_upstream_is_gone(
    ship: Ship, tmp_path: Path
) -> None:
    text = "channels: [lab]\ndependencies: [app, python, {pip: [lab-web]}]\n"
    wanted = ship.file("environment.yml", text)
    ended = ship.prefetch(wanted, "--platform", "linux-64", "-m", "conda/lab", "-m", "full")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "resolving" in ended.stdout
    assert "for Python 3.12.4 on linux-64" in ended.stdout
    with ship.origin.stopped():
        prefix = Rattler(tmp_path / "rattler").install(f"{ship.proxy.url}/conda/lab", "app")
        assert (prefix / "share" / "clib" / "payload.bin").exists()
        site = Uv(tmp_path / "uv").install(ship.simple("full"), "lab-web")
        assert _modules(site) == {"lab_web", "lab_core"}


def test_locks_of_files_elsewhere_are_found_in_the_mirrors(ship: Ship, tmp_path: Path) -> None:
    listed = ship.index.files["lab_web-2.0-py3-none-any.whl"]
    name, record = next(
        (name, row) for name, row in ship.channel.records.items() if row["name"] == "web"
    )
    locks = [
        ship.file(
            "conda-lock.yml",
            "version: 1\npackage:\n- {name: web, manager: conda, platform: linux-64, url: "
            f"'https://conda.example.org/lab/{name}', hash: {{sha256: {record['sha256']}}}}}\n",
        ),
        ship.file(
            "pylock.toml",
            'lock-version = "1.0"\ncreated-by = "lab"\n[[packages]]\nname = "lab-web"\n'
            'wheels = [{url = "https://files.example.org/lab_web-2.0-py3-none-any.whl", '
            f'hashes = {{sha256 = "{listed.sha256}"}}}}]\n',
        ),
    ]
    found = ship.report(*locks, "-m", "full", "-m", "lab")
    assert found["failures"] == []
    assert {one["path"].rpartition("/")[2]: one.get("sha256") for one in found["files"]} == {
        name.rpartition("/")[2]: record["sha256"],
        "lab_web-2.0-py3-none-any.whl": listed.sha256,
        "lab_web-2.0-py3-none-any.whl.metadata": listed.metadata_sha256,
    }
    with ship.origin.stopped():
        assert fetch(f"{ship.proxy.url}/conda/lab/{name}").status == 200


def test_r_packages_of_a_list_and_of_a_lock_are_there_when_upstream_is_gone(
    ship: Ship, tmp_path: Path
) -> None:
    specs = ship.file("ship.specs", "cran: app (>= 1.0)\n")
    row = {"Package": "tool", "Version": "0.9", "Source": "Repository", "Repository": "CRAN"}
    lock = ship.file("renv.lock", json.dumps({"R": {}, "Packages": {"tool": row}}))
    ended = ship.prefetch(specs, lock)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("4 files, ")
    repository = f"{ship.proxy.url}/cran/cran"
    with ship.origin.stopped():
        paths = [one.filename for one in R_CURRENT]
        for path in (*paths, f"Archive/tool/{R_ARCHIVED[0].filename}"):
            assert fetch(f"{repository}/src/contrib/{path}").status == 200
        if R.executable() is not None:
            installed = R(tmp_path / "R").install(repository, "app")
            assert installed == {"app": "1.0", "web": "2.0", "tool": "1.0"}


def test_another_file_than_the_locked_one_is_told(ship: Ship) -> None:
    lock = ship.file(
        "conda-linux-64.lock",
        f"@EXPLICIT\nhttps://x.example.org/lab/noarch/web-2.0-0.conda#{'0' * 64}\n",
    )
    ended = ship.prefetch(lock)
    assert ended.returncode == 1
    assert "not there: web-2.0-0.conda: the mirror has another file of that name" in ended.stderr


def test_what_policy_refuses_is_told_with_rule_and_reason_and_the_rest_is_fetched(
    ship: Ship,
) -> None:
    big = ship.index.files["lab_big-1.0-py3-none-any.whl"]
    lock = ship.file(
        "pylock.toml",
        'lock-version = "1.0"\ncreated-by = "lab"\n[[packages]]\nname = "lab-big"\n'
        f'wheels = [{{url = "https://files.example.org/{big.path}", '
        f'hashes = {{sha256 = "{big.sha256}"}}}}]\n',
    )
    wanted = ship.file("requirements.txt", "lab-lone\n")
    found = ship.report(lock, wanted, "-m", "full")
    assert [one["rule"] for one in found["failures"]] == ["no-big"]
    assert "It is too big" in found["failures"][0]["reason"]
    assert any(one["path"].endswith("lab_lone-1.0-py3-none-any.whl") for one in found["files"])
    text = ship.prefetch(lock, "-m", "full")
    assert text.returncode == 1
    assert "refused by rule no-big: It is too big; ask platform@example.org." in text.stderr


def test_what_cannot_be_resolved_is_told(ship: Ship) -> None:
    wanted = ship.file("requirements.txt", "lab-app\nlab-web<2\n")
    ended = ship.prefetch(wanted, "-m", "full")
    assert ended.returncode == 1
    assert "lab-app 1.0 needs lab-web>=2" in ended.stderr
    hidden = ship.prefetch(ship.file("requirements.txt", "lab-big>1\n"), "-m", "full")
    assert "no-big hides 1 file of lab-big: It is too big" in hidden.stderr
    environment = ship.file("environment.yml", "channels: [lab]\ndependencies: [web >7]\n")
    assert "not there: environment on" in ship.prefetch(environment).stderr


def test_a_closure_is_printed_as_tables_of_active_mirrors(ship: Ship) -> None:
    environment = ship.file("environment.yml", "channels: [lab]\ndependencies: [web]\n")
    wanted = ship.file("requirements.txt", "lab-web\n")
    ended = ship.prefetch(environment, wanted, "-m", "full", "-m", "lab", "--specs")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not ship.origin.asked("*.whl")
    conda, pypi = tomllib.loads(ended.stdout)["mirror"]
    assert conda["specs"] == ["base ==1.0 0", "core ==1.0 0", "text ==1.0 0", "web ==2.0 0"]
    assert (pypi["name"], pypi["specs"]) == ("full", ["lab-core==1.0", "lab-web==2.0"])
    for table in (conda, pypi):
        table |= {"source": f"{ship.origin.url}/{table['name']}/"}
    good = "".join(f"[[mirror]]\n{_toml(table)}" for table in (conda, pypi))
    checked = subprocess.run(
        [sys.executable, "-m", "proxy", "check-config", str(ship.file("good.toml", good))],
        cwd=ROOT,
        env=clean_environment(ship.folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def _toml(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def test_mirrors_that_are_not_public_are_reached_with_a_token(ship: Ship, tmp_path: Path) -> None:
    ship.proxy.stop()
    ship.proxy.tables = {"access": {"public": []}}
    config = str(ship.proxy.config_file)
    with ship.proxy:
        created = subprocess.run(
            [
                sys.executable,
                "-m",
                "proxy",
                "token",
                "create",
                "ship",
                "--scope",
                "read",
                "-c",
                config,
            ],
            cwd=ROOT,
            env=clean_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        token = ship.file("token", created.stdout)
        text = "channels: [lab]\ndependencies: [app, python, {pip: [lab-web]}]\n"
        wanted = [str(ship.file("environment.yml", text)), "-m", "lab", "-m", "full"]
        refused = ship.prefetch(*wanted)
        assert refused.returncode == 3
        assert "send a token" in refused.stderr

        def let_in() -> bool:
            ended = ship.prefetch(*wanted, "--token-file", token, "--platform", "linux-64")
            return (ended.returncode, ended.stderr) == (0, "")

        eventually(let_in, "the new token counts")


def test_only_a_list_is_made_on_request(ship: Ship) -> None:
    wanted = ship.file("requirements.txt", "lab-lone\n")
    ended = ship.prefetch(wanted, "-m", "full", "--dry-run")
    assert ended.returncode == 0
    paths = [line for line in ended.stdout.splitlines() if line.startswith("/pypi/full/packages/")]
    assert len(paths) == 2
    assert not ship.origin.asked("*.whl")


def test_a_wrong_file_or_option_and_a_server_that_is_not_there_are_told_apart(ship: Ship) -> None:
    wrong = ship.file("environment.yml", "dependencies: [3]\n")
    ended = ship.prefetch(wrong)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{wrong}: dependencies[0]: write a spec" in ended.stderr
    good = ship.file("requirements.txt", "lab-lone\n")
    several = ship.prefetch(good)
    assert several.returncode == 2
    assert "write --mirror with one of pypi/full, pypi/poor" in several.stderr
    nobody = prefetch(ship.folder, "--url", f"http://127.0.0.1:{free_port()}", good)
    assert nobody.returncode == 3
    assert "Connect" in nobody.stderr
    origin = prefetch(ship.folder, "--url", ship.origin.url, good)
    assert origin.returncode == 3
