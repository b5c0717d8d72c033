"""What a server imports, as it tells itself: what it calls, and nothing that others call for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.server import ProxyServer, free_port

SOLVERS = {"rattler", "resolvelib", "yaml", "proxy.mirror.wanted.reading", "proxy.mirror.job"}
PAGES = {"jinja2", "proxy.web.admin"}
STRANGERS = {"pydantic", "rich", "requests", "hypothesis", "mousebender"}

_IMPORTED = re.compile(r"^import time: .*\| +([\w.]+)$", re.MULTILINE)


@pytest.mark.parametrize("has_doors", [False, True])
def test_a_server_imports_no_solver_and_pages_only_where_it_shows_them(
    tmp_path: Path, has_doors: bool
) -> None:
    admin = {"admin": {"listen": f"127.0.0.1:{free_port()}"}} if has_doors else {}
    prefix = ["env", "PYTHONPROFILEIMPORTTIME=1"]
    with ProxyServer(tmp_path, [], tables=admin, prefix=prefix) as server:
        told = server.log
    imported = set(_IMPORTED.findall(told))
    assert "proxy.app.worker" in imported
    assert not {one for one in SOLVERS | STRANGERS if one in imported}
    assert {one in imported for one in PAGES} == {has_doors}
