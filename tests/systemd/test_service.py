"""The systemd unit names what there is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.main import get_command

from proxy.app.running import STOP_MARGIN
from proxy.cli import BAD_CONFIG, app
from proxy.config import load

UNIT = Path(__file__).parents[2] / "systemd" / "pkgproxy.service"


def _service() -> dict[str, list[str]]:
    """The assignments of [Service]; systemd's keys may come more than once."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def test_the_command_line_is_one_that_exists() -> None:
    program, command, *arguments = shlex.split(_service()["ExecStart"][0])
    assert Path(program).name == app.info.name
    commands = get_command(app)
    serve = commands.get_command(None, command)  # type: ignore[attr-defined]
    options = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("-")} <= options


def test_the_cache_is_the_folder_that_systemd_makes() -> None:
    service = _service()
    words = shlex.split(service["ExecStart"][0])
    folder = words[words.index("--cache") + 1]
    assert folder == f"/var/cache/{service['CacheDirectory'][0]}"


def test_the_auth_file_is_the_credential_that_systemd_loads() -> None:
    service = _service()
    name, _, value = service["Environment"][0].partition("=")
    credential = service["LoadCredential"][0].partition(":")[0]
    assert value == f"%d/{credential}"
    loaded = load(None, {name: f"/run/credentials/{credential}"})
    assert loaded.settings.auth_file == Path("/run/credentials") / credential


def test_a_stop_leaves_time_to_drain() -> None:
    drain = load(None, {}).settings.server.drain_timeout
    assert float(_service()["TimeoutStopSec"][0]) > drain + STOP_MARGIN


def test_a_wrong_configuration_is_not_tried_again() -> None:
    assert _service()["RestartPreventExitStatus"] == [str(BAD_CONFIG)]


def test_a_reload_is_a_sighup() -> None:
    assert _service()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_knows_every_key() -> None:
    command = ["systemd-analyze", "verify", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr
