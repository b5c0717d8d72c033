"""What keeps a server from starting is told in a line."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from proxy.app.running import BAD_CONFIG, FAILED, Start, run
from proxy.config import load
from tests.lab.server import clean_environment, free_port


def test_without_a_temporary_folder_it_is_said_which_setting_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    port = free_port()
    settings = load(None, {"PKGPROXY_SERVER__PORT": str(port)}).settings
    start = Start(settings=settings, reload=lambda _: settings, say=lambda _: None)
    assert run(start) == FAILED
    assert "TMPDIR" in capsys.readouterr().err
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))  # and nothing is held on to


def test_advisories_that_are_not_there_are_named_by_their_table(tmp_path: Path) -> None:
    environ = {
        **clean_environment(tmp_path),
        "PKGPROXY_SERVER__PORT": str(free_port()),
        "PKGPROXY_CACHE__PATH": str(tmp_path / "cache"),
        "PKGPROXY_ADVISORIES__OSV": str(tmp_path / "none"),
    }
    command = [sys.executable, "-m", "proxy", "serve"]
    ended = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == BAD_CONFIG
    assert f"[advisories]: {tmp_path}/none" in ended.stderr
