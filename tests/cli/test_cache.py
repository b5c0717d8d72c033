"""Looking after the cache from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.core.model import View, digest_of
from proxy.core.rows import build
from proxy.storage.disk import DiskBlobs
from proxy.storage.opening import opened

OLD = b"nobody names this"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    root = tmp_path / "cache"
    path = DiskBlobs(root).path(digest_of(OLD))
    path.parent.mkdir()
    path.write_bytes(OLD)
    os.utime(path, (0, 0))
    file = tmp_path / "pkgproxy.toml"
    file.write_text(f'[cache]\npath = "{root}"\n')
    return file


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_usage_counts_and_sweep_removes_what_nothing_names(config: Path) -> None:
    assert f"1 blobs, {len(OLD)} bytes" in run("cache", "usage", "--config", str(config))
    assert f"removed 1 blobs ({len(OLD)} bytes)" in run("cache", "sweep", "-c", str(config))
    assert "0 blobs, 0 bytes" in run("cache", "usage", "--config", str(config))


def test_what_was_done_is_told_to_programs_too(config: Path, tmp_path: Path) -> None:
    def told(*arguments: str) -> Any:
        return json.loads(run("cache", *arguments, "--config", str(config), "--json"))

    folder = str(tmp_path / "cache")
    assert told("usage") == {"folders": [{"folder": folder, "blobs": 1, "bytes": len(OLD)}]}
    verified = told("verify")
    assert (verified["blobs"], verified["wrong"]) == (1, [])
    bundle = str(tmp_path / "bundle")
    carried = told("export", bundle)
    assert (carried["bundle"], carried["entries"]) == (bundle, 0)
    assert told("import", bundle, "--digest", carried["sha256"])["already"] == 0
    swept = told("sweep")
    assert (swept["folder"], swept["removed"], swept["bytes"]) == (folder, 1, len(OLD))


def test_a_sweep_thins_what_was_superseded(config: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"

    async def fill() -> None:
        store = opened([root])
        for age, members in ((9, {"a": b"1", "b": b"2", "~": b"3"}), (1, {"a": b"1", "~": b"4"})):
            pack = b"".join(build(members))
            path = store.blobs.path(digest_of(pack))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pack)
            os.utime(path, (0, 0))
            await store.catalog.put(
                View(
                    key=f"view conda/c i\tshardpack\t{age}",
                    digest=digest_of(pack),
                    size=len(pack),
                    media_type="",
                    made_at=time.time() - age * 3600,
                )
            )
        await store.aclose()

    asyncio.run(fill())
    told = json.loads(run("cache", "sweep", "--config", str(config), "--json"))
    assert (told["views"], told["thinned"], told["failed"]) == (0, 1, [])
    assert (told["removed"], told["kept"]) == (2, 2)


def test_a_cache_of_another_format_is_left_alone(config: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "FORMAT").write_text("99\n")
    result = CliRunner().invoke(app, ["cache", "sweep", "--config", str(config)])
    assert result.exit_code == 1
    assert "format 99" in result.output


def test_the_metrics_reference_is_printed() -> None:
    assert "pkgproxy_requests_total" in run("metrics")
