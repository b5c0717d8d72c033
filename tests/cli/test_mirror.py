"""`pkgproxy mirror` and `cache` against a running server: what they do, print and exit with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.cli.remote import Exit, assigned, door, split
from proxy.cli.runs import INTERRUPTED, finished
from proxy.errors import ConfigError
from proxy.mirror.port import Counts
from tests.lab.channel import Recipe, build_channel
from tests.lab.clients import fetch
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, clean_environment, free_port

ROOT = Path(__file__).parents[2]
TOKEN = "hunter2-hunter2-hunter2"
CHANNELS = ("channel", "watched", "left")  # no file of one is in another
RECIPES = (*(Recipe(name=f"lab{number}") for number in range(5)), Recipe(name="secret"))


@dataclass(frozen=True, slots=True)
class Lab:
    """A server with an administration that asks for a token, and the channel behind it."""

    server: ProxyServer
    origin: Origin
    folder: Path

    def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What a command prints; it must exit with *status*."""
        ran = subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=ROOT,
            env=clean_environment(self.folder) | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == status, ran.stderr
        assert TOKEN not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout if status == 0 else ran.stderr

    def mirror(self, *arguments: str, status: int = 0) -> str:
        """The same of a `mirror` command, which finds the server by its configuration."""
        return self.run(
            "mirror", "--config", str(self.server.config_file), *arguments, status=status
        )

    def begun(self, *arguments: str) -> subprocess.Popen[str]:
        """Such a command that goes on."""
        where = ("--config", str(self.server.config_file))
        return subprocess.Popen(
            [sys.executable, "-m", "proxy", "mirror", *where, *arguments],
            cwd=ROOT,
            env=clean_environment(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.mirror(*arguments, "--json"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    for size, name in enumerate(CHANNELS, start=2000):
        recipes = [replace(one, payload=size) for one in RECIPES]
        build_channel(folder / "origin" / name, recipes)
    (folder / "token").write_text(f"{TOKEN}\n")
    with Origin(folder / "origin") as origin:
        fixed = MirrorConfig(type="conda", name="fixed", source=f"{origin.url}/channel")
        tables = {
            "admin": {"listen": f"127.0.0.1:{free_port()}", "credentials": "boss"},
            "credentials.boss": {"kind": "bearer", "token_file": str(folder / "token")},
        }
        with ProxyServer(folder / "server", [fixed], tables=tables) as server:
            yield Lab(server, origin, folder)


def test_a_mirror_from_its_making_to_its_end(lab: Lab) -> None:
    source = f"{lab.origin.url}/channel"
    settings = ("--set", "mode=active", "--set", "exclude=['secret']")
    assert "conda/made is made" in lab.mirror("create", "conda/made", source, *settings)
    run = lab.mirror("run", "conda/made", "--wait")
    assert "completed." in run
    assert "6 files listed upstream: 1 hidden by policy" in run
    assert "5 fetched, 0 failed" in run
    assert "hidden by exclude: 1" in lab.mirror("report", "conda/made")
    lab.mirror("edit", "conda/made", "--set", "newest=1", "--unset", "exclude")
    values = lab.json("show", "conda/made")["definition"]["values"]
    assert values["newest"] == 1
    assert "exclude" not in values
    again = json.loads(lab.mirror("run", "conda/made", "--wait", "--json"))
    assert (again["run"]["state"], again["run"]["counts"]["present"]) == ("completed", 5)
    assert "frozen" in lab.mirror("freeze", "conda/made")
    assert "Nothing would change." in lab.mirror("difference", "conda/made")
    lab.mirror("unfreeze", "conda/made", "--yes")
    listed = lab.mirror("list")
    assert "conda/fixed" in listed
    assert "conda/made" in listed
    assert 'name = "made"' in lab.mirror("export", "conda/made")
    assert lab.json("export", "conda/made")["toml"] == lab.mirror("export", "conda/made")
    doubt = "Warning: platforms: conda's clients know no platform linux64: did you mean linux-64"
    assert doubt in lab.mirror("edit", "conda/made", "--set", "platforms=['linux64']")
    assert doubt in lab.mirror("show", "conda/made")
    assert lab.json("delete", "conda/made", "--yes") == {"deleted": "conda/made"}
    assert [one["definition"]["key"] for one in lab.json("list")] == ["conda/fixed"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("show", "conda/none"), Exit.MISSING),
        (("run", "conda/fixed"), Exit.CONFLICT),
        (("delete", "conda/fixed", "--yes"), Exit.CONFLICT),
        (("create", "conda/x", "not a url"), Exit.WRONG),
        (("create", "x", "https://host.example.org/"), Exit.WRONG),
        (("create", "conda/x", "https://host.example.org/", "--set", "nwest=1"), Exit.WRONG),
        (("create", "conda/x", "https://host.example.org/", "--set", "newest"), Exit.WRONG),
        (("report", "conda/fixed"), Exit.MISSING),
        (("watch", "conda/fixed"), Exit.MISSING),
    ],
)
def test_what_cannot_be_is_told_by_the_exit_status(
    lab: Lab, arguments: tuple[str, ...], status: int
) -> None:
    assert lab.mirror(*arguments, status=status).strip()


def test_a_run_is_watched_by_whoever_has_not_begun_it(lab: Lab) -> None:
    source = f"{lab.origin.url}/watched"
    settings = ("--set", "mode=active", "--set", "exclude=['secret']")
    lab.mirror("create", "conda/watched", source, *settings)
    assert "its own lists" in lab.mirror("list")
    with lab.origin.holding("*lab3*") as held:
        begun = lab.json("run", "conda/watched")
        held.wait_reached()
        with lab.begun("watch", "conda/watched") as watching:
            assert watching.stderr is not None
            # What the run's process tells comes a little later than what it does.
            assert any("of 5 files" in line for line in watching.stderr)
            held.release()
            said, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert f"Run {begun['id']} of conda/watched: completed." in said
    assert lab.json("watch", "conda/watched")["run"]["id"] == begun["id"]
    lab.mirror("delete", "conda/watched", "--yes")


def test_who_stops_waiting_is_told_that_the_run_goes_on(lab: Lab) -> None:
    lab.mirror("create", "conda/left", f"{lab.origin.url}/left", "--set", "mode=active")
    with lab.origin.holding("*lab3*") as held:
        with lab.begun("run", "conda/left", "--wait") as waiting:
            assert waiting.stderr is not None
            assert waiting.stderr.readline()
            held.wait_reached()
            waiting.send_signal(signal.SIGINT)
            _, said = waiting.communicate(timeout=60)
        assert waiting.returncode == INTERRUPTED
        assert "The run goes on. `pkgproxy mirror watch conda/left`" in said
        assert lab.json("show", "conda/left")["latest"]["state"] == "running"
        held.release()
    lab.mirror("delete", "conda/left", "--yes")


def test_where_the_server_is_can_be_said_in_other_ways(lab: Lab) -> None:
    url = f"http://{lab.server.tables['admin']['listen']}"
    token = str(lab.folder / "token")
    lab.run("mirror", "--url", url, "--token-file", token, "list")
    lab.run("mirror", "list", PKGPROXY_ADMIN_URL=url, PKGPROXY_ADMIN_TOKEN_FILE=token)
    assert "token" in lab.run("mirror", "--url", url, "list", status=Exit.AWAY)
    away = f"http://127.0.0.1:{free_port()}"
    assert "cannot be asked" in lab.run("mirror", "--url", away, "list", status=Exit.AWAY)
    assert "--url" in lab.run("mirror", "list", status=Exit.WRONG)
    assert "write http" in lab.run("mirror", "--url", "ftp://x", "list", status=Exit.WRONG)


def test_the_cache_is_looked_up_and_purged(lab: Lab) -> None:
    where = ("--config", str(lab.server.config_file))
    fetch(f"{lab.server.url}/conda/fixed/noarch/lab1-1.0-0.conda")
    assert "noarch/lab1-1.0-0.conda" in lab.run("cache", "search", "conda/fixed", "*lab1*", *where)
    assert "conda/fixed: " in lab.run("cache", "statistics", *where)
    purge = ("cache", "purge", "conda/fixed", "*lab1*", *where)
    assert "1 paths taken out" in lab.run(*purge, "--yes")
    lab.run("cache", "search", "conda/fixed", "*lab1*", *where, status=Exit.MISSING)
    lab.run("cache", "purge", "conda/none", "*", *where, "--yes", status=Exit.MISSING)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("newest=3", 3),
        ("specs=['a', \"b\"]", ["a", "b"]),
        ("dependencies=false", False),
        ("frequency=@daily", "@daily"),
        ("window=22:00-06:00", "22:00-06:00"),
        ("policy=x = y", "x = y"),
    ],
)
def test_settings_are_toml_or_plain_text(text: str, value: object) -> None:
    assert assigned(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("key", ["x", "conda/", "/x"])
def test_a_mirror_is_named_with_its_type(key: str) -> None:
    assert split("conda/pkgs/main") == ("conda", "pkgs/main")
    with pytest.raises(ConfigError, match="such as conda/main"):
        split(key)


def test_a_token_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        door("http://127.0.0.1:1", tmp_path / "none", None)
    assert "PKGPROXY_ADMIN_URL" not in os.environ


def test_it_is_said_of_a_run_that_the_processors_were_busy() -> None:
    counts = msgspec.to_builtins(Counts())
    run = {"id": "1", "mirror": "conda/m", "state": "completed", "error": None, "counts": counts}
    details = {"hidden": [], "beyond": [], "failures": [], "actively": 0, "passively": 0}
    quiet, busy = (
        "\n".join(finished({"run": {**run, "starved_at": at}, **details})) for at in (None, 60.0)
    )
    assert "All processors were busy until 1970-01-01 00:01 UTC" in busy
    assert "busy" not in quiet
