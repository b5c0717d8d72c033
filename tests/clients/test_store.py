"""What clients notice of a full disk, a read-only cache, a lost catalog and a quota: nothing."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.storage.disk import SLACK
from proxy.storage.sweep import usage
from tests.clients.conftest import write_tree
from tests.lab.channel import build_channel
from tests.lab.clients import Rattler, fetch
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually
from tests.storage.test_opening import fill_up, small_disk

pytestmark = pytest.mark.clients


@contextlib.contextmanager
def _pair(
    folder: Path, tables: Mapping[str, Mapping[str, Any]] | None = None, *, workers: int = 1
) -> Iterator[tuple[Origin, ProxyServer]]:
    build_channel(folder / "www" / "channel")
    build_channel(folder / "www" / "second")
    write_tree(folder / "www" / "tree")
    with Origin(folder / "www") as origin:
        mirrors = [
            MirrorConfig(type="conda", name="lab", source=f"{origin.url}/channel"),
            MirrorConfig(type="conda", name="second", source=f"{origin.url}/second"),
            MirrorConfig(type="files", name="lab", source=f"{origin.url}/tree"),
        ]
        yield origin, ProxyServer(folder / "proxy", mirrors, workers=workers, tables=tables)


def _packages(proxy: ProxyServer, mirror: str) -> dict[str, str]:
    """The paths of the packages of `noarch`, with their digests."""
    listing = json.loads(fetch(f"{proxy.url}/conda/{mirror}/noarch/repodata.json").body)
    found = listing["packages"] | listing["packages.conda"]
    return {f"conda/{mirror}/noarch/{name}": record["sha256"] for name, record in found.items()}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_costs_the_cache_and_no_client(tmp_path: Path, workers: int) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        tables = {"cache": {"path": str(disk / "cache")}}
        with _pair(tmp_path, tables, workers=workers) as (_, proxy), proxy:
            Rattler(tmp_path / "before").install(f"{proxy.url}/conda/lab", "app")
            filler = fill_up(disk)
            Rattler(tmp_path / "known").install(f"{proxy.url}/conda/lab", "app")
            Rattler(tmp_path / "new").install(f"{proxy.url}/conda/second", "app")
            packages = _packages(proxy, "second")
            for _ in range(2):
                for path, digest in packages.items():
                    assert hashlib.sha256(fetch(f"{proxy.url}/{path}").body).hexdigest() == digest
            assert proxy.log.count("store_trouble") in range(1, 3 * workers + 1)
            assert "bytes wanted" in proxy.log
            assert proxy.metric("pkgproxy_store_trouble", concerns="blobs") >= 1
            filler.unlink()
            numbers = itertools.count()

            def is_recovered() -> bool:
                """Ask for a file that nobody has asked for: each worker stores some of them."""
                name = f"late-{next(numbers)}"
                (tmp_path / "www" / "tree" / name).write_bytes(b"late")
                assert fetch(f"{proxy.url}/files/lab/{name}").status == 200
                return "store_recovered" in proxy.log

            eventually(is_recovered, "the store recovers")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up_in_the_middle_costs_no_client(tmp_path: Path, workers: int) -> None:
    body = random.Random(0).randbytes(6 << 20)
    with small_disk(tmp_path / "disk", "16m") as disk:
        tables = {"cache": {"path": str(disk / "cache")}}
        with _pair(tmp_path, tables, workers=workers) as (origin, proxy), proxy:
            eventually(lambda: proxy.log.count("info ready") == workers, "all workers are ready")
            (tmp_path / "www" / "tree" / "big.bin").write_bytes(body)
            with ThreadPoolExecutor(6) as clients, origin.holding("*/big.bin") as held:
                url = f"{proxy.url}/files/lab/big.bin"
                fetched = [clients.submit(fetch, url) for _ in range(6)]
                held.wait_reached()
                filler = fill_up(disk)
                held.release()
                for one in fetched:
                    assert one.result().body == body
            assert "No space left" in proxy.log
            assert proxy.log.count("concerns=bodies") == 1
            filler.unlink()
            for _ in range(2):
                assert fetch(url).body == body
            assert any(path.stat().st_size == len(body) for path in disk.rglob("sha256/*/*"))
            assert "store_recovered concerns=bodies" in proxy.log


def test_a_full_disk_at_the_start_is_told_and_costs_no_client(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        tables = {"cache": {"path": str(disk / "cache")}}
        with _pair(tmp_path, tables) as (_, proxy), proxy:
            fetch(f"{proxy.url}/files/lab/small-0")
            proxy.stop()
            fill_up(disk)
            proxy.start()
            Rattler(tmp_path / "new").install(f"{proxy.url}/conda/second", "app")
            assert proxy.log.count("store_trouble") == 1
            assert "No space left" in proxy.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cache_that_is_only_read_is_served_and_what_is_new_can_be_had(
    tmp_path: Path, workers: int
) -> None:
    with _pair(tmp_path, workers=workers) as (origin, proxy), proxy:
        Rattler(tmp_path / "before").install(f"{proxy.url}/conda/lab", "app")
        proxy.stop()
        (proxy.folder / "cache" / ".readonly").touch()
        held = sorted((proxy.folder / "cache").rglob("*"))
        with origin.stopped():
            proxy.start()
            Rattler(tmp_path / "offline").install(f"{proxy.url}/conda/lab", "app")
        Rattler(tmp_path / "new").install(f"{proxy.url}/conda/second", "app")
        assert proxy.log.count("store_trouble") == workers
        assert ".readonly" in proxy.log
        proxy.stop()
        assert sorted((proxy.folder / "cache").rglob("*")) == held


def test_a_lost_catalog_costs_no_download_of_what_is_here(tmp_path: Path) -> None:
    with _pair(tmp_path) as (origin, proxy), proxy:
        packages = _packages(proxy, "lab")
        for path in packages:
            fetch(f"{proxy.url}/{path}")
        proxy.stop()
        shutil.rmtree(proxy.folder / "cache" / "catalog")
        proxy.start()
        origin.forget()
        for path, digest in packages.items():
            assert hashlib.sha256(fetch(f"{proxy.url}/{path}").body).hexdigest() == digest
        assert origin.asked("*repodata*")
        assert origin.asked("*") == origin.asked("*repodata*")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_quota_is_kept_and_no_client_notices(tmp_path: Path, workers: int) -> None:
    tables = {"cache": {"max_size": "24kB"}}
    with _pair(tmp_path, tables, workers=workers) as (_, proxy), proxy:
        tree = tmp_path / "www" / "tree"
        for number in range(8):
            (tree / f"more-{number}").write_bytes(b"%d" % number * 5000)
        names = sorted(path.name for path in tree.iterdir())
        for name in names * 2:
            assert fetch(f"{proxy.url}/files/lab/{name}").body == (tree / name).read_bytes()
            assert usage(proxy.folder / "cache").size <= 24_000 * (1 + SLACK)
        assert proxy.metric("pkgproxy_unstored_total", mirror="files/lab") > 0
        held = [path for path in (proxy.folder / "cache" / "sha256").rglob("*") if path.is_file()]
        assert len(held) in (4, 5)
        proxy.stop()
        for path in held:
            os.utime(path, (0, 0))
        proxy.start()
        for name in names:
            fetch(f"{proxy.url}/files/lab/{name}")
        eventually(lambda: not all(path.exists() for path in held), "room is made")
        assert proxy.metric("pkgproxy_evicted_blobs_total", size="small") > 0


def _cache(proxy: ProxyServer, *arguments: str) -> str:
    """Run a command of `pkgproxy cache` on the proxy's configuration."""
    command = ["cache", *arguments, "--config", str(proxy.config_file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_bundle_serves_a_site_that_has_no_upstream(tmp_path: Path) -> None:
    bundle, delta = tmp_path / "b0", tmp_path / "b1"
    with _pair(tmp_path) as (_, proxy), proxy:
        Rattler(tmp_path / "there").install(f"{proxy.url}/conda/lab", "app")
        first = _cache(proxy, "export", str(bundle))  # while it serves
        fetch(f"{proxy.url}/files/lab/small-0")
        _cache(proxy, "export", str(delta), "--since", str(bundle))
        mirrors = proxy.mirrors
    assert delta.stat().st_size < bundle.stat().st_size / 2
    digest = first.strip().rpartition(" ")[2]
    with ProxyServer(tmp_path / "island", mirrors, tables={"": {"offline": True}}) as island:
        _cache(island, "import", str(bundle), "--digest", digest)
        _cache(island, "import", str(delta))
        Rattler(tmp_path / "here").install(f"{island.url}/conda/lab", "app")
        assert fetch(f"{island.url}/files/lab/small-0").status == 200
        assert "0 wrong" in _cache(island, "verify")
