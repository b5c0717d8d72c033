"""What keeps a server from starting is told in a line."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from proxy.app.running import FAILED, Start, run
from proxy.config import load
from tests.lab.server import free_port


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
