"""The lab's proxy server: its configuration is TOML that says what the test said."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.lab.server import MirrorConfig, ProxyServer, eventually


def test_the_configuration_says_what_the_test_said(tmp_path: Path) -> None:
    options = {"fresh_min": 0.5, "allow_hosts": ["a.example.org"], "nested": {"key": True}}
    source = 'http://u:p"\\@origin.example.org/x/'
    mirror = MirrorConfig(type="conda", name="pkgs/main", source=source, options=options)
    tables: dict[str, dict[str, Any]] = {"cache": {"size": "1 GB"}, "upstream": {"retries": 0}}
    proxy = ProxyServer(tmp_path, [mirror], workers=2, tables=tables)
    proxy.write_config()
    written = tomllib.loads(proxy.config_file.read_text())
    assert written == {
        "server": {"host": "127.0.0.1", "port": proxy.port, "workers": 2},
        "cache": {"path": str(tmp_path / "cache"), "size": "1 GB"},
        "upstream": {"retries": 0},
        "mirror": [{"type": "conda", "name": "pkgs/main", "source": source, **options}],
    }


def test_what_never_comes_true_is_named() -> None:
    with pytest.raises(AssertionError, match="pigs fly"):
        eventually(lambda: False, "pigs fly", within=0.05)
