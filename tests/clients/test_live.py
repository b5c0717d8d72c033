"""Well-known packages from the index that this machine's pip uses, through the proxy.

The source is `auto`: the proxy finds that index itself. Skips where it cannot be reached.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.clients import Uv, fetch
from tests.lab.server import MirrorConfig, ProxyServer

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
