"""Released clients in front of a proxy that never goes upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import World, make_world
from tests.lab.clients import Pip, Rattler, fetch
from tests.lab.server import eventually

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A proxy that has been used for a few packages, and is offline since."""
    folder = tmp_path_factory.mktemp("offline")
    with make_world(folder) as made:
        Rattler(folder / "r").install(made.channel("usual"), "web ==1.0")
        for name in ("full", "poor"):
            Pip(folder / f"p-{name}").install(made.simple(name), "lab-web==1.0")
        fetch(made.file("small-0", "stale"))
        made.proxy.tables = {"": {"offline": True}, "log": {"level": "warning"}}
        made.proxy.mirrors = [
            mirror.with_options(offline_index="present") for mirror in made.proxy.mirrors
        ]
        made.proxy.restart()
        made.origin.forget()
        made.file_host.forget()
        yield made
        assert (made.origin.seen, made.file_host.seen) == ([], [])


def test_solvers_pick_what_can_be_had(offline: World, tmp_path: Path) -> None:
    found = Rattler(tmp_path).solve(offline.channel("usual"), "web")
    assert {record.name.normalized: str(record.version) for record in found}["web"] == "1.0"
    Rattler(tmp_path / "again").install(offline.channel("usual"), "web")


@pytest.mark.parametrize("mirror", ["full", "poor"])
def test_pip_picks_what_can_be_had(offline: World, tmp_path: Path, mirror: str) -> None:
    site = Pip(tmp_path).install(offline.simple(mirror), "lab-web")
    assert list(site.glob("lab_web-1.0.dist-info"))


def test_what_is_not_here_is_refused_at_once(offline: World) -> None:
    old = fetch(offline.file("small-0", "stale"))
    assert (old.status, "detail=Offline" in old.headers["cache-status"]) == (200, True)
    missing = fetch(offline.file("small-1"))
    assert missing.status == 504
    assert b"is offline, and small-1 is not here" in missing.body
    assert " warning offline mirrors=conda/" in offline.proxy.log
    said = " warning stale mirror=files/stale cause=Offline"
    eventually(lambda: said in offline.proxy.log, "the log says what is served")
