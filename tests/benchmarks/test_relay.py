"""The relay passes everything on as it is and counts each byte once."""

from __future__ import annotations

import gc
import socket
from pathlib import Path
from urllib.request import urlopen

from benchmarks.relay import Relay
from tests.lab.origin import Origin

BODY = bytes(range(256)) * 2000


def test_what_comes_from_a_server_is_counted_head_and_body(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    with Origin(tmp_path) as origin, Relay(origin.port) as relay:
        with urlopen(f"http://127.0.0.1:{relay.port}/file") as answer:
            assert answer.read() == BODY
        assert len(BODY) < relay.received < len(BODY) + 1000
        assert 0 < relay.sent < 1000


def test_a_tunnel_is_opened_and_what_goes_through_it_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    with Origin(tmp_path) as origin, Relay() as relay:
        with socket.create_connection(("127.0.0.1", relay.port)) as client:
            client.sendall(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\n\r\n".encode())
            answer = client.makefile("rb")
            assert answer.readline().split()[1] == b"200"
            assert answer.readline() == b"\r\n"
            client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert answer.read().endswith(b"\r\n\r\n" + BODY)
        assert len(BODY) < relay.received < len(BODY) + 1000


def test_what_is_open_when_it_ends_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    with Origin(tmp_path) as origin, socket.socket() as client:
        with Relay(origin.port) as relay:
            client.connect(("127.0.0.1", relay.port))
            client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.makefile("rb")
            assert answer.readline().split()[1] == b"200"
        while answer.read1():
            pass
    del relay
    gc.collect()  # what it left open would be closed, and be told, here
