"""One upstream and one proxy in front of it for each module of tests.

The upstream wants a password that only the proxy knows: a client that goes round the proxy
fails with 401. Each mirror is used by few tests, so that they do not warm each other's cache.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.channel import Form, Layout, build_channel, tree
from tests.lab.origin import Basic, Behaviour, Origin
from tests.lab.server import MirrorConfig, ProxyServer
from tests.lab.simple_index import Degraded, SimpleIndex, build_index, family

USER, PASSWORD = "proxy-user", "upstream-secret"
ALWAYS_STALE = {"fresh_min": 0, "fresh_max": 0, "fresh_default": 0, "stale_while_revalidate": 0}

LAYOUTS = {
    "usual": Layout(),
    "json-only": Layout(forms=frozenset({Form.JSON})),
    "zst-only": Layout(forms=frozenset({Form.ZST})),
    "everything": Layout(forms=frozenset(Form), run_exports=True, channeldata=True, notices=True),
    "pooled": Layout(pool="pool/packages"),
    "sharded-pooled": Layout(forms=frozenset(Form), pool="pool/sharded"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An upstream with channels, indexes and files; its other host; the proxy."""

    origin: Origin
    file_host: Origin  # where the pages of the index `poor` say that its files are
    proxy: ProxyServer
    full: SimpleIndex
    poor: SimpleIndex

    def index(self, mirror: str) -> SimpleIndex:
        """What the PyPI mirror of that name mirrors."""
        return self.full if mirror == "full" else self.poor

    def channel(self, mirror: str) -> str:
        return f"{self.proxy.url}/conda/{mirror}"

    def simple(self, mirror: str) -> str:
        return f"{self.proxy.url}/pypi/{mirror}/simple/"

    def file(self, name: str, mirror: str = "tree") -> str:
        return f"{self.proxy.url}/files/{mirror}/{name}"

    @contextlib.contextmanager
    def upstream_stopped(self) -> Iterator[None]:
        """Both upstream hosts are down inside the block."""
        with self.origin.stopped(), self.file_host.stopped():
            yield


@contextlib.contextmanager
def make_world(folder: Path, *, workers: int = 1) -> Iterator[World]:
    """Build everything below *folder*, start it, and stop it at the end."""
    www, files = folder / "www", folder / "other-host"
    files.mkdir(parents=True)
    _build_channels(www / "channels")
    write_tree(www / "tree")
    full = build_index(www / "full")
    guarded = Behaviour(auth=Basic(user=USER, password=PASSWORD))
    poor_host = Behaviour(validators=False)
    with Origin(www, guarded) as origin, Origin(files, poor_host) as file_host:
        kind = Degraded(files=files, url=file_host.url)
        # Of their own bytes, like the channels' packages.
        others = [replace(wheel, payload=wheel.payload + 1) for wheel in family()]
        poor = build_index(www / "poor", others, kind)
        proxy = ProxyServer(folder / "proxy", mirrors_of(origin), workers=workers)
        with proxy:
            yield World(origin=origin, file_host=file_host, proxy=proxy, full=full, poor=poor)


def mirrors_of(origin: Origin, names: Sequence[str] | None = None) -> list[MirrorConfig]:
    """Every mirror of the world's upstream, or those *names*."""
    source = origin.url.replace("//", f"//{USER}:{PASSWORD}@")
    channels = [*LAYOUTS, "upper", "below", "orphan"]
    mirrors = [
        *(_mirror("conda", name, f"{source}/channels/{name}") for name in channels),
        _mirror("conda", "stale", f"{source}/channels/usual", **ALWAYS_STALE),
        _mirror("pypi", "full", f"{source}/full/simple/"),
        _mirror("pypi", "poor", f"{source}/poor/simple/", allow_hosts=["127.0.0.1"]),
        _mirror("pypi", "bare", f"{source}/poor/simple/", allow_hosts=["127.0.0.1"]),
        _mirror("pypi", "stale", f"{source}/full/simple/", **ALWAYS_STALE),
        _mirror("files", "tree", f"{source}/tree/"),
        _mirror("files", "stale", f"{source}/tree/", **ALWAYS_STALE),
    ]
    return [mirror for mirror in mirrors if names is None or mirror.name in names]


def write_tree(folder: Path) -> None:
    """Plain files of several sizes, each with bytes of its own."""
    folder.mkdir(parents=True)
    for name, size in FILES.items():
        (folder / name).write_bytes(random.Random(name).randbytes(size))


FILES: Mapping[str, int] = {
    **{f"small-{number}": 5_000 for number in range(4)},
    **{f"big-{number}": 16_000_000 for number in range(4)},
}


def _build_channels(folder: Path) -> None:
    everything = tree()
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        # Of their own bytes: the store has equal ones once, and fetches them for one mirror only.
        own = [replace(recipe, payload=recipe.payload + number) for recipe in everything]
        build_channel(folder / name, own, layout)
    related = Layout(relations={"base": "../below"})
    build_channel(folder / "upper", everything[:1], related)
    build_channel(folder / "below", everything[1:])
    build_channel(folder / "absent", everything)
    build_channel(folder / "orphan", layout=Layout(relations={"base": "../absent"}))


def _mirror(type_: str, name: str, source: str, **options: Any) -> MirrorConfig:
    return MirrorConfig(type=type_, name=name, source=source, options=options)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of this module, with one worker."""
    with make_world(tmp_path_factory.mktemp("world")) as made:
        yield made
