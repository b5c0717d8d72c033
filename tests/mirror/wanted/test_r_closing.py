"""R packages with all that they need, and the versions of a lock, current or archived."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import UpstreamFailed
from proxy.mirror.wanted.closure import Closure
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.r_closing import RClosing
from proxy.mirror.wanted.values import LockedR, RPackage
from proxy.upstream.served import Refused, Served
from tests.mirror.wanted.fake_server import BASE, FakeServer

CRAN = Served(
    type="cran", name="cran", source="https://cloud.r-project.org/", url=f"{BASE}/cran/cran/"
)
PACKAGES = """\
Package: app
Version: 1.0
Depends: R (>= 4.0), methods
Imports: core (>= 2.0), utils,
        shapes

Package: core
Version: 2.1-3
LinkingTo: headers

Package: core
Version: 2.0
Imports: shapes

Package: headers
Version: 1.0
Suggests: app

Package: shapes
Version: 0.9
Imports: core

Package: broken
Version: 1.0
Imports: core (>= 9), gone
"""


def _server() -> FakeServer:
    server = FakeServer([CRAN])
    server.bodies[f"{CRAN.url}src/contrib/PACKAGES"] = PACKAGES.encode()
    return server


def _closed(item: RPackage | LockedR, server: FakeServer | None = None) -> Closure:
    async def main() -> Closure:
        asked = server or _server()
        closing = RClosing(asked, Places(await asked.mirrors()), lambda _: None)
        match item:
            case RPackage():
                return await closing.package(item)
            case LockedR():
                return await closing.locked(item)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ("headers", ["headers_1.0"]),
        ("core", ["core_2.1-3", "headers_1.0"]),
        ("core (< 2.1)", ["core_2.0", "core_2.1-3", "headers_1.0", "shapes_0.9"]),
        ("app", ["app_1.0", "core_2.1-3", "headers_1.0", "shapes_0.9"]),
        ("methods", []),
    ],
)
def test_a_package_brings_all_that_it_needs_in_the_newest_version_that_fits(
    spec: str, files: list[str]
) -> None:
    closure = _closed(RPackage(where="ship.specs, line 1", spec=spec))
    names = [one.url.removeprefix(f"{CRAN.url}src/contrib/") for one in closure.files]
    assert sorted(names) == [f"{name}.tar.gz" for name in files]
    assert not closure.failures


def test_what_is_not_listed_is_told_with_who_needs_it_and_the_rest_is_kept() -> None:
    server = _server()
    hidden = (Refused(rule="licences", reason="ask legal", files=1),)
    server.hidden["cran/cran", "gone"] = hidden
    closure = _closed(RPackage(where="ship.specs, line 1", spec="broken"), server)
    assert [one.name for one in closure.files] == ["broken_1.0.tar.gz"]
    told = {one.what: one.reason for one in closure.failures}
    assert told == {
        "core (>= 9)": "broken 1.0 needs core (>= 9); the mirror lists 2.1-3, 2.0",
        "gone": "broken 1.0 needs gone; the mirror does not list it; "
        "licences hides 1 file of gone: ask legal",
    }


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2.1-3", "core_2.1-3.tar.gz"),
        ("2.1.3", "core_2.1-3.tar.gz"),
        ("1.7", "Archive/core/core_1.7.tar.gz"),
    ],
)
def test_a_locked_version_is_current_or_in_the_archive(version: str, path: str) -> None:
    closure = _closed(LockedR(where="renv.lock", name="core", version=version))
    assert [one.url for one in closure.files] == [f"{CRAN.url}src/contrib/{path}"]


@pytest.mark.parametrize(
    "item",
    [
        LockedR(where="renv.lock", name="core", version="1.0"),
        RPackage(where="ship.specs, line 1", spec="core"),
    ],
)
@pytest.mark.parametrize("body", [None, b"not an index"])
def test_an_index_that_cannot_be_read_is_a_failure(
    item: RPackage | LockedR, body: bytes | None
) -> None:
    server = _server()
    url = f"{CRAN.url}src/contrib/PACKAGES"
    if body is None:
        server.failing[url] = UpstreamFailed("no upstream")
    else:
        server.bodies[url] = body
    (failure,) = _closed(item, server).failures
    assert failure.reason == "no upstream" or "line 1" in failure.reason


def test_the_index_is_read_once() -> None:
    server = _server()

    async def main() -> None:
        closing = RClosing(server, Places(await server.mirrors()), lambda _: None)
        for name in ("app", "core", "shapes"):
            await closing.package(RPackage(where="s", spec=name))

    asyncio.run(main())
    assert server.asked == [f"{CRAN.url}src/contrib/PACKAGES"]
