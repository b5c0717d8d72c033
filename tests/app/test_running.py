"""A server's start, seen from inside its process, and its reload, seen by a client."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.clients import fetch
from tests.lab.server import ProxyServer, eventually, free_port

INSIDE = """
import gc, os, signal, sys
from pathlib import Path
from proxy.app.running import Start, run
from proxy.config import load

def say(_: str) -> None:
    print(gc.get_freeze_count() / (gc.get_freeze_count() + len(gc.get_objects())))
    os.kill(os.getpid(), signal.SIGTERM)

settings = load(Path(sys.argv[1]), os.environ, {}).settings
sys.exit(run(Start(settings=settings, reload=lambda _: settings, say=say)))
"""


def test_what_a_server_has_when_it_is_ready_is_not_looked_through_again(tmp_path: Path) -> None:
    config = tmp_path / "pkgproxy.toml"
    config.write_text(f'[server]\nport = {free_port()}\n[cache]\npath = "{tmp_path}/cache"\n')
    command = [sys.executable, "-c", INSIDE, str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout.splitlines()[0]) > 0.9


def test_clients_are_served_while_the_configuration_is_read(tmp_path: Path) -> None:
    with ProxyServer(tmp_path, []) as server:
        configuration = server.config_file.read_text()
        server.config_file.unlink()
        os.mkfifo(server.config_file)
        server.signal(signal.SIGHUP)
        with server.config_file.open("w") as pipe:  # opens when the server does
            assert fetch(f"{server.url}/readyz").status == http.client.OK
            pipe.write(configuration)
        eventually(lambda: "reloaded" in server.log, "the configuration is read to its end")
