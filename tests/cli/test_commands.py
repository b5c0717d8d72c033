"""The commands: what they print, and what they exit with."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proxy import __version__
from tests.lab.server import clean_environment

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-hunter2"
GOOD = f"""
[server]
port = 1234
[credentials.mine]
kind = "basic"
username = "me"
password = "{SECRET}"
[[mirror]]
type = "conda"
name = "lab"
source = "https://me:{SECRET}@host.example.org/t/{SECRET}/lab"
credentials = "mine"
"""


def _run(
    folder: Path, *arguments: str, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-m", "proxy", *arguments],
        cwd=ROOT,
        env=clean_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "pkgproxy.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text("[server]\nprt = 1\n[log]\nlevel = 'loud'\n")
    return path


def test_version_is_one_line(tmp_path: Path) -> None:
    done = _run(tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pkgproxy {__version__}\n", "")


def test_version_imports_nothing_that_serving_needs(tmp_path: Path) -> None:
    # Counted, not timed: it is these imports that would cost the time.
    done = _run(tmp_path, "--version", flags=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "proxy.cli" in imported
    heavy = {"aiohttp", "asyncio", "uvloop", "diskcache", "prometheus_client", "rich", "proxy.app"}
    assert not heavy & imported


def test_a_good_file_is_summed_up_in_a_line(tmp_path: Path, good: Path) -> None:
    done = _run(tmp_path, "check-config", str(good))
    assert (done.returncode, done.stdout) == (0, "1 file, 1 mirror: conda/lab\n")


@pytest.mark.parametrize("command", ["check-config", "serve --config", "config show --config"])
def test_a_bad_file_is_status_2_with_all_errors_on_stderr(
    tmp_path: Path, bad: Path, command: str
) -> None:
    done = _run(tmp_path, *command.split(), str(bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{bad}:2: server.prt: there is no such setting; did you mean port?",
        f'{bad}:4: log.level: \'loud\' is unknown; write "debug" or "info" or "warning" or "error"',
    ]


@pytest.mark.parametrize(
    "arguments", [("no-such-command",), ("serve", "--no-such-option"), ("serve", "--port", "x")]
)
def test_a_bad_command_line_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert _run(tmp_path, *arguments).returncode == 2


def test_config_show_can_be_read_again_and_tells_origins(tmp_path: Path, good: Path) -> None:
    done = _run(tmp_path, "config", "show", "--config", str(good))
    content = tomllib.loads(done.stdout)
    assert content["server"]["port"] == 1234
    assert content["mirror"][0]["source"] == "https://host.example.org/t/***/lab"
    assert content["credentials"]["mine"] == {
        "kind": "basic",
        "username": "me",
        "password": "***",
    }
    assert f"port = 1234  # {good}:3\n" in done.stdout
    assert 'host = "127.0.0.1"  # default\n' in done.stdout
    assert SECRET not in done.stdout


def test_config_show_json_has_value_and_origin(tmp_path: Path, good: Path) -> None:
    done = _run(tmp_path, "config", "show", "--json", "--config", str(good))
    shown = json.loads(done.stdout)
    assert shown["server.port"] == {"value": 1234, "origin": f"{good}:3"}
    assert shown["mirror.conda/lab.name"] == {"value": "lab", "origin": f"{good}:10"}
    assert shown["upstream.ca_bundle"] == {"value": None, "origin": "default"}
    assert SECRET not in done.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_status_1_and_says_what_to_do(tmp_path: Path, workers: str) -> None:
    with socket.socket() as other:
        # As another server with several workers holds it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        cache = str(tmp_path / "cache")
        done = _run(tmp_path, "serve", "--port", port, "--workers", workers, "--cache", cache)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; stop" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_ca_bundle_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "pkgproxy.toml"
    path.write_text("[upstream]\nca_bundle = '/no/such.pem'\n")
    done = _run(tmp_path, "serve", "--config", str(path), "--port", "0")
    assert done.returncode == 2
    assert f"{path}:2: upstream.ca_bundle: there is no file /no/such.pem\n" in done.stderr


def test_a_ca_bundle_of_rubbish_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("rubbish")
    path = tmp_path / "pkgproxy.toml"
    path.write_text(f"[upstream]\nca_bundle = '{tmp_path / 'ca.pem'}'\n{_MIRROR}")
    done = _run(tmp_path, "serve", "--config", str(path), "--port", "0")
    assert done.returncode == 2
    assert "ca.pem" in done.stderr
    assert "Traceback" not in done.stderr


_MIRROR = "[[mirror]]\ntype = 'files'\nname = 'x'\nsource = 'https://host.example.org/'\n"


def test_the_shell_can_complete(tmp_path: Path) -> None:
    # Which shell it is for is read off the command's ancestors: one of them must be a shell.
    done = subprocess.run(
        ["bash", "-c", '"$0" -m proxy --show-completion; exit $?', sys.executable],
        cwd=ROOT,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout


def test_commands_import_the_server_only_where_they_run_it() -> None:
    tree = ast.parse((ROOT / "proxy" / "cli" / "__init__.py").read_text())
    top = [it.module for it in tree.body if isinstance(it, ast.ImportFrom)]
    assert not [module for module in top if module and module.startswith("proxy.app")]
