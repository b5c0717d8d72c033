"""A server without a network: mirrors, and what lies at their addresses."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import ProxyError, UpstreamMissing
from proxy.upstream.served import Pulled, Refused, Served

BASE = "http://proxy.example.org"
SIMPLE = f"{BASE}/pypi/pypi/simple/"
FILES = f"{BASE}/pypi/pypi/packages/"

PYPI = Served(
    type="pypi", name="pypi", source="https://pypi.example.org/simple/", url=f"{BASE}/pypi/pypi/"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One file of a project. `requires` go into its metadata; `row` into its page's row."""

    filename: str
    requires: tuple[str, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    builds_with: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        return self.filename.encode() if self.filename.endswith(".whl") else self._sources()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def metadata(self) -> bytes:
        lines = ["Metadata-Version: 2.2", "Name: any", "Version: 1"]
        return "\n".join([*lines, *(f"Requires-Dist: {it}" for it in self.requires), ""]).encode()

    def _sources(self) -> bytes:
        project = f"[build-system]\nrequires = {json.dumps(self.builds_with)}\n".encode()
        stem = self.filename.removesuffix(".tar.gz")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, body in (("PKG-INFO", self.metadata), ("pyproject.toml", project)):
                member = tarfile.TarInfo(f"{stem}/{name}")
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))
        return out.getvalue()


class FakeServer:
    """See `proxy.upstream.served.Server`. `asked` is what was; `failing` raises; `hidden` is by
    mirror and package.
    """

    def __init__(self, served: Iterable[Served] = (PYPI,)) -> None:
        self.url = BASE
        self.headers: Mapping[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.failing: dict[str, ProxyError] = {}
        self.asked: list[str] = []
        self.hidden: dict[tuple[str, str], tuple[Refused, ...]] = {}
        self._served = tuple(served)

    def project(self, name: str, *releases: Release) -> None:
        """List *releases* on the page of *name*, and keep their files."""
        rows = []
        for one in releases:
            url = f"{FILES}{one.filename}"
            self.bodies[url] = one.body
            if one.filename.endswith(".whl"):
                self.bodies[f"{url}.metadata"] = one.metadata
            row: dict[str, Any] = {
                "filename": one.filename,
                "url": f"../../packages/{one.filename}#sha256={one.sha256}",
                "hashes": {"sha256": one.sha256},
                "core-metadata": one.filename.endswith(".whl"),
            }
            rows.append(row | dict(one.row))
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": rows}
        self.bodies[f"{SIMPLE}{name}/"] = json.dumps(page).encode()

    async def mirrors(self) -> tuple[Served, ...]:
        return self._served

    async def refused(self, mirror: str, package: str) -> tuple[Refused, ...]:
        return self.hidden.get((mirror, package), ())

    async def read(self, url: str, *, accept: str = "*/*") -> bytes:
        self.asked.append(url)
        await asyncio.sleep(0)
        if url in self.failing:
            raise self.failing[url]
        if url not in self.bodies:
            raise UpstreamMissing(f"there is no {url}")
        return self.bodies[url]

    async def pull(self, url: str) -> Pulled:
        body = await self.read(url)
        digest = hashlib.sha256(body).hexdigest()
        return Pulled(size=len(body), sha256=digest, here=self.asked.count(url) > 1)


def wheel(name: str, *requires: str, tag: str = "py3-none-any", **row: Any) -> Release:
    """`name` is `project-version`; *row*'s keys are written with underscores."""
    kept = {key.replace("_", "-"): value for key, value in row.items()}
    return Release(filename=f"{name}-{tag}.whl", requires=requires, row=kept)


def sources(name: str, *requires: str, builds_with: tuple[str, ...] = ()) -> Release:
    """An archive of sources."""
    return Release(filename=f"{name}.tar.gz", requires=requires, builds_with=builds_with)
