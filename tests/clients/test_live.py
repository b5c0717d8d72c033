"""Well-known packages from the index that this machine's pip uses, through the proxy.

The source is `auto`: the proxy finds that index itself. Skips where it cannot be reached.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.clients import Uv, fetch
from tests.lab.server import MirrorConfig, ProxyServer, free_port

pytestmark = [pytest.mark.clients, pytest.mark.live]

PACKAGES = [
    "requests",
    "flask",
    "attrs",
    "click",
    "rich",
    "packaging",
    "pyyaml",
    "numpy",
    "idna",
    "six",
    "pytest",
    "typing-extensions",
]


CLOSURE = [
    *("flask", "requests[socks]", "numpy", "pandas", "rich", "pytest", "attrs", "pyyaml"),
    *("sqlalchemy", "aiohttp", "matplotlib", "httpx", "black", "jinja2", "click>=8"),
]
"""Fifteen requirements; with their dependencies they come to some fifty projects."""


def test_uv_installs_a_dozen_well_known_packages_cold_and_warm(tmp_path: Path) -> None:
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    with ProxyServer(tmp_path / "proxy", [mirror], inherit_environment=True) as proxy:
        index = f"{proxy.url}/pypi/pypi/simple/"
        probe = fetch(f"{index}six/")
        if probe.status != 200:
            pytest.skip(f"the index of this machine's pip cannot be reached: {probe.status}")
        cold = Uv(tmp_path / "cold").install(index, *PACKAGES)
        before = proxy.metric("pkgproxy_upstream_requests_total")
        warm = Uv(tmp_path / "warm").install(index, *PACKAGES)
        assert proxy.metric("pkgproxy_upstream_requests_total") == before
    names = {path.name for path in cold.glob("*.dist-info")}
    assert len(names) >= len(PACKAGES)
    assert {path.name for path in warm.glob("*.dist-info")} == names


def test_a_closure_of_forty_packages_is_there_when_the_index_is_gone(tmp_path: Path) -> None:
    mirror = MirrorConfig(type="pypi", name="pypi", source="auto")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("\n".join(CLOSURE))
    proxy = ProxyServer(tmp_path / "proxy", [mirror], inherit_environment=True)
    with proxy:
        index = f"{proxy.url}/pypi/pypi/simple/"
        probe = fetch(f"{index}six/")
        if probe.status != 200:
            pytest.skip(f"the index of this machine's pip cannot be reached: {probe.status}")
        ended = subprocess.run(
            [sys.executable, "-m", "proxy", "prefetch", str(wanted), "--url", proxy.url],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
    # The same cache, and an upstream where nobody answers.
    proxy.mirrors = [MirrorConfig(type="pypi", name="pypi", source=_nowhere())]
    with proxy:
        site = Uv(tmp_path / "uv").install(index, *CLOSURE)
        probe = fetch(f"{index}django/")
        assert probe.status == 502, "the index is not gone"
    assert len(list(site.glob("*.dist-info"))) >= 40


def _nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}/simple/"
