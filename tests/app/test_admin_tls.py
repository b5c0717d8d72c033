"""The administration over TLS: what it shows, who believes it, and how it is renewed."""

from __future__ import annotations

import http.client
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.certificates import certificate, needs_openssl
from tests.lab.clients import fetch
from tests.lab.server import ProxyServer, clean_environment, eventually, free_port

ROOT = Path(__file__).parents[2]

pytestmark = needs_openssl


class Place:
    """A server whose administration speaks TLS with a certificate for another name."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.used, self.key = folder / "used.pem", folder / "used.key"
        self.first = certificate(folder / "tls", "first", "DNS:proxy.example.org")
        self.second = certificate(folder / "tls", "second", "DNS:proxy.example.org")
        self.use(self.first)
        admin = {
            "listen": f"127.0.0.1:{self.port}",
            "tls_certificate": str(self.used),
            "tls_key": str(self.key),
        }
        self.server = ProxyServer(folder / "server", [], tables={"admin": admin})

    def use(self, pair: tuple[Path, Path]) -> None:
        shutil.copy(pair[0], self.used)
        shutil.copy(pair[1], self.key)

    def status(self, trusted: Path) -> int:
        """Of the overview, for whoever trusts just that certificate, and asks for its name."""
        context = ssl.create_default_context(cafile=str(trusted))
        context.check_hostname = False
        admin = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        try:
            admin.request("GET", "/api/v1/overview")
            answer = admin.getresponse()
            answer.read()
        finally:
            admin.close()
        return answer.status

    def shows(self, trusted: Path) -> bool:
        try:
            return self.status(trusted) == 200
        except ssl.SSLError:
            return False

    def command(self, *where: str) -> subprocess.CompletedProcess[str]:
        """`mirror list`, asked of the server that *where* says."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", "mirror", *where, "list"],
            cwd=ROOT,
            env=clean_environment(self.folder),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_speaks_tls_and_nothing_else(place: Place) -> None:
    with place.server as server:
        assert place.status(place.first[0]) == 200
        assert not place.shows(place.second[0])
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            fetch(f"http://127.0.0.1:{place.port}/api/v1/overview")
        assert f"administered at https://127.0.0.1:{place.port}/" in server.log
        assert fetch(f"{server.url}/readyz").status == 200, "clients come in as before"


def test_a_renewed_certificate_is_taken_over_while_it_runs(place: Place) -> None:
    with place.server as server:
        shutil.copy(place.second[0], place.used)  # without its key it does not fit
        server.signal(signal.SIGHUP)
        eventually(lambda: "certificate_unusable" in server.log, "it is told")
        assert place.shows(place.first[0])
        place.use(place.second)
        server.signal(signal.SIGHUP)
        eventually(lambda: place.shows(place.second[0]), "it is taken over")
        assert not place.shows(place.first[0])


def test_a_command_believes_the_certificate_of_the_configuration_alone(place: Place) -> None:
    with place.server as server:
        configured = ("--config", str(server.config_file))
        assert place.command(*configured).returncode == 0
        # With an address alone it is believed as any other server.
        asked = place.command("--url", f"https://127.0.0.1:{place.port}")
        assert (asked.returncode, "certificate verify failed" in asked.stderr) == (3, True)
        other = place.folder / "other.toml"
        other.write_text(
            server.config_file.read_text().replace(str(place.used), str(place.second[0]))
        )
        refused = place.command("--config", str(other))
        assert (refused.returncode, "certificate verify failed" in refused.stderr) == (3, True)


def test_a_pair_that_does_not_fit_is_an_error_at_the_start(place: Place) -> None:
    shutil.copy(place.second[1], place.key)
    with pytest.raises(AssertionError, match="in PEM form with its key"):
        place.server.start()
