"""The units and the container name what there is, and leave the service little else."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.main import get_command

from proxy.app.running import STOP_MARGIN
from proxy.cli import app
from proxy.cli.options import BAD_CONFIG
from proxy.config import load

UNIT = Path(__file__).parents[2] / "systemd" / "pkgproxy.service"
SOCKET = UNIT.with_suffix(".socket")
CONTAINER = UNIT.with_name("Containerfile")


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


def test_the_service_is_watched_for_longer_than_a_notice_takes() -> None:
    service = _service()
    assert service["Type"] == ["notify"]
    assert service["NotifyAccess"] == ["all"], "the first of several workers is no main process"
    assert float(service["WatchdogSec"][0]) >= 30


def test_what_rendering_processes_do_is_allowed() -> None:
    filters = _service()["SystemCallFilter"]
    second_place = "setpriority sched_setscheduler"
    assert filters == ["@system-service", "~@privileged @resources", second_place], (
        "os.nice needs setpriority, and what comes last counts"
    )


def _analysed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing"
)


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, SOCKET], ids=lambda unit: unit.suffix)
def test_systemd_has_nothing_to_say_about_it(unit: Path, tmp_path: Path) -> None:
    """Beside each other, with a program where the service expects one."""
    program = tmp_path / "pkgproxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for one in (UNIT, SOCKET):
        text = one.read_text().replace("/opt/pkgproxy/bin/pkgproxy serve", f"{program} serve")
        (tmp_path / one.name).write_text(text)
    done = _analysed("verify", str(tmp_path / unit.name))
    said = [line for line in done.stderr.splitlines() if "pkgproxy" in line]
    assert (done.returncode, said) == (0, [])


@needs_systemd
def test_the_service_is_exposed_to_little(tmp_path: Path) -> None:
    done = _analysed("security", "--offline=true", "--threshold=20", str(UNIT))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze knows no offline analysis")
    assert done.returncode == 0, done.stdout  # 20 is 2.0


# -- the container -------------------------------------------------------------------------


def _container() -> dict[str, list[str]]:
    """The instructions by name, with their continued lines."""
    found: dict[str, list[str]] = defaultdict(list)
    text = CONTAINER.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found[name].append(rest)
    return found


def test_a_container_runs_without_root_and_its_settings_exist() -> None:
    container = _container()
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", container["USER"][-1])
    environment = dict(word.split("=", 1) for word in shlex.split(container["ENV"][0]))
    settings = load(None, environment).settings
    assert [str(settings.cache.path)] == container["VOLUME"]
    assert [str(settings.server.port)] == container["EXPOSE"]
    assert f":{settings.server.port}/readyz" in container["HEALTHCHECK"][0]
    assert container["STOPSIGNAL"] == ["SIGTERM"]


def test_a_container_is_built_from_what_there_is() -> None:
    container = _container()
    root = CONTAINER.parents[1]
    sources = [line.split()[:-1] for line in container["COPY"] if not line.startswith("--from")]
    assert sources
    for name in (one for line in sources for one in line):
        assert (root / name).exists(), name
    assert Path(json.loads(container["ENTRYPOINT"][0])[0]).name == app.info.name
    command = json.loads(container["CMD"][0])
    assert get_command(app).get_command(None, command[0])  # type: ignore[attr-defined]
