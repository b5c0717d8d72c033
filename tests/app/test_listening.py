"""Where clients come in: TLS, Unix sockets, sockets that systemd opened, proxies in front."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.app.service import Service
from tests.lab.certificates import certificate, needs_openssl
from tests.lab.origin import Origin
from tests.lab.server import eventually, free_port


def get(
    connected: socket.socket, path: str = "/readyz", headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """Ask over a connection that exists; the body has been read (`body`)."""
    connection = http.client.HTTPConnection("cache.example.org")
    connection.sock = connected
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connected.close()
    return response


def over_tcp(port: int, path: str = "/readyz", **headers: str) -> http.client.HTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return get(socket.create_connection(("127.0.0.1", port), timeout=30), path, named)


def over_unix(path: Path, asked: str = "/readyz") -> http.client.HTTPResponse:
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(30)
    connected.connect(str(path))
    return get(connected, asked)


# -- systemd -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_manager_is_told_of_the_whole_life(tmp_path: Path, workers: int) -> None:
    server = {"port": free_port(), "workers": workers}
    with Service(tmp_path, server, watchdog=0.2) as service:
        assert service.told("READY=1") == "READY=1\nSTATUS=serves 1 mirrors"
        assert over_tcp(server["port"]).status == 200, "ready means that it answers"
        for _ in range(3):
            service.told("WATCHDOG=1")
        service.reload()
        assert service.process.poll() is None
        service.process.terminate()
        service.told("STOPPING=1")
        assert service.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_that_systemd_opened_are_served(tmp_path: Path, workers: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        port = tcp.getsockname()[1]
        # Whoever connects before the server runs is answered when it does.
        early = socket.create_connection(("127.0.0.1", port), timeout=30)
        server = {"port": free_port(), "workers": workers}
        with Service(tmp_path, server, sockets=(tcp, unix)) as service:
            service.told("READY=1")
            assert get(early).status == 200
            assert [over_tcp(port).status for _ in range(5)] == [200] * 5
            assert over_unix(tmp_path / "s").status == 200
            with pytest.raises(ConnectionError):
                over_tcp(server["port"])
            assert service.stop() == 0
        assert (tmp_path / "s").exists(), "it is systemd's to remove"


# -- a Unix socket -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_socket_is_for_the_user_and_group_and_goes_with_the_server(
    tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "p.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    (tmp_path / "www").mkdir()
    big = bytes(range(256)) * 8192
    (tmp_path / "www" / "big").write_bytes(big)
    server = {"socket": str(path), "workers": workers}
    with (
        Origin(tmp_path / "www") as origin,
        Service(tmp_path, server, source=f"{origin.url}/") as service,
    ):
        service.told("READY=1")
        for _ in range(6):  # at first it is fetched, then sent, then it lies ready
            assert over_unix(path, "/files/f/big").body == big  # type: ignore[attr-defined]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert [over_unix(path).status for _ in range(5)] == [200] * 5
        assert f"unix:{path}" in service.log
        other = tmp_path / "other"
        other.mkdir()
        with Service(other, {"socket": str(path)}) as second:
            assert second.process.wait(30) == 2
            assert f"another server listens on {path}" in second.log
        assert over_unix(path).status == 200
        assert service.stop() == 0
    assert not path.exists()


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with Service(tmp_path, {"socket": str(path)}) as service:
        assert service.process.wait(30) == 2
        assert "is no socket" in service.log
    assert path.read_text() == "data"


# -- TLS -----------------------------------------------------------------------------------


def over_tls(port: int, trusted: Path, path: str = "/readyz") -> http.client.HTTPResponse:
    context = ssl.create_default_context(cafile=str(trusted))
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return get(context.wrap_socket(plain, server_hostname="127.0.0.1"), path)


def fits(port: int, trusted: Path) -> bool:
    """Whether the server shows the certificate *trusted*."""
    try:
        return over_tls(port, trusted).status == 200
    except ssl.SSLError:
        return False


@needs_openssl
@pytest.mark.parametrize("workers", [1, 2])
def test_tls_with_a_certificate_that_is_changed_while_it_runs(tmp_path: Path, workers: int) -> None:
    (tmp_path / "www").mkdir()
    big = bytes(range(256)) * 8192
    (tmp_path / "www" / "big").write_bytes(big)
    middling = big[:500_000]
    (tmp_path / "www" / "middling").write_bytes(middling)
    first, first_key = certificate(tmp_path / "tls", "first")
    second, second_key = certificate(tmp_path / "tls", "second")
    used, used_key = tmp_path / "used.pem", tmp_path / "used.key"
    shutil.copy(first, used)
    shutil.copy(first_key, used_key)
    port = free_port()
    tls = {"tls_certificate": str(used), "tls_key": str(used_key)}
    server = {"port": port, "workers": workers, **tls}
    with (
        Origin(tmp_path / "www") as origin,
        Service(tmp_path, server, source=f"{origin.url}/") as service,
    ):
        service.told("READY=1")
        assert f"https://127.0.0.1:{port}" in service.log
        for _ in range(6):  # at first it is fetched, then sent, then it lies ready
            for name, body in (("big", big), ("middling", middling)):
                said = over_tls(port, first, f"/files/f/{name}")
                assert said.body == body  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            over_tcp(port)
        # A pair that does not fit changes nothing.
        shutil.copy(second, used)
        service.reload()
        eventually(lambda: "certificate_unusable" in service.log, "it is told")
        assert over_tls(port, first).status == 200
        shutil.copy(second_key, used_key)
        service.reload()
        # Each connection may come to another worker.
        eventually(lambda: not any(fits(port, first) for _ in range(20)), "it is taken over")
        assert over_tls(port, second).status == 200
        eventually(lambda: "certificate_taken_over" in service.log, "it is told")
        assert service.stop() == 0


@needs_openssl
def test_a_certificate_without_its_key_is_an_error_at_the_start(tmp_path: Path) -> None:
    made, _ = certificate(tmp_path / "tls", "first")
    _, other = certificate(tmp_path / "tls", "other")
    for name, settings, said in (
        (
            "one",
            {"tls_certificate": str(made)},
            "server.tls_certificate: a certificate needs its key",
        ),
        ("two", {"tls_key": str(other)}, "server.tls_key: a key needs its certificate"),
        (
            "three",
            {"tls_certificate": str(made), "tls_key": str(other)},
            "in PEM form with its key",
        ),
    ):
        folder = tmp_path / name
        folder.mkdir()
        with Service(folder, {"port": free_port(), **settings}) as service:
            assert service.process.wait(30) == 2
            assert said in service.log


# -- proxies in front ----------------------------------------------------------------------


def test_a_trusted_proxy_says_who_the_client_is_also_from_memory(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a").write_bytes(b"a" * 1000)
    for name, trusted in (("trusting", ["127.0.0.1"]), ("other", ["10.0.0.0/8"])):
        folder = tmp_path / name
        folder.mkdir()
        server: dict[str, Any] = {"port": free_port(), "trusted_proxies": trusted}
        with (
            Origin(tmp_path / "www") as origin,
            Service(folder, server, source=f"{origin.url}/") as service,
        ):
            service.told("READY=1")
            for client in ("203.0.113.5", "203.0.113.5", "203.0.113.6"):
                chain = f"127.0.0.1, {client}"
                reply = over_tcp(server["port"], "/files/f/a", X_Forwarded_For=chain)
                assert reply.status == 200
            front = over_tcp(
                server["port"], "/", X_Forwarded_Proto="https", X_Forwarded_Host="pkg.example.org"
            )
            assert service.stop() == 0
            body = front.body.decode()  # type: ignore[attr-defined]
            believed = name == "trusting"
            assert ("https://pkg.example.org/files/f/" in body) is believed
            assert service.log.count("client=203.0.113.5") == (2 if believed else 0)
            assert service.log.count("client=203.0.113.6") == (1 if believed else 0)
            assert service.log.count("client=127.0.0.1") == (0 if believed else 3)
