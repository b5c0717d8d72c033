"""What hostile clients and upstreams are made of: raw sockets, and a server that says anything."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PATIENCE = 15.0  # seconds; a bound for slow machines, not a promise
SILENCE = 0.3  # seconds after which a server that says nothing more is taken to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """An answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Upstream:
    """Answers by path, on 127.0.0.1, and notes what it was asked, with which headers."""

    def __init__(self) -> None:
        self.says: dict[str, Says] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    def url(self, host: str) -> str:
        """Without a slash at the end."""
        return f"http://{host}:{self.port}"

    def answer(self, path: str, headers: Mapping[str, str]) -> Says:
        """Note the request, and say what is to be said."""
        self.asked.append((path, {name.lower(): value for name, value in headers.items()}))
        return self.says.get(path, Says(status=404))


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """One that runs while entered."""
    made = Upstream()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            said = made.answer(self.path, dict(self.headers.items()))
            self.send_response(said.status)
            headers = {"Content-Length": str(len(said.body)), **said.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def exchanged(port: int, *packets: bytes) -> bytes:
    """All that comes back for bytes sent as they are, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        _send(connection, packets)
        received = bytearray()
        _read(connection, received)
        return bytes(received)


def interrupted(port: int, *packets: bytes) -> bytes:
    """The same where the server may wait for more: after a while of silence it gets no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=SILENCE) as connection:
        _send(connection, packets)
        received = bytearray()
        try:
            _read(connection, received)
        except TimeoutError:
            connection.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            _read(connection, received)
        return bytes(received)


def _send(connection: socket.socket, packets: tuple[bytes, ...]) -> None:
    with contextlib.suppress(ConnectionError):
        for packet in packets:
            connection.sendall(packet)


def _read(connection: socket.socket, received: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece


def request(
    target: str, *lines: str, method: str = "GET", host: str = "cache.example.org"
) -> bytes:
    """A request that is the last one of its connection."""
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1")
