"""From what is wanted to files on the server, and the failures among them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from packaging.requirements import Requirement

from proxy.errors import Denied
from proxy.mirror.wanted.closing import closing
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.fetching import Fetched, fetch
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.targets import Targets
from proxy.mirror.wanted.values import (
    Beyond,
    Item,
    LockedConda,
    LockedPypi,
    Required,
    Requirements,
    Wanted,
)
from proxy.upstream.served import Refused, Served
from tests.mirror.wanted.fake_server import BASE, FILES, PYPI, SIMPLE, FakeServer, sources, wheel
from tests.mirror.wanted.samples import targets

CONDA = Served(
    type="conda",
    name="conda-forge",
    source="https://conda.anaconda.org/conda-forge/",
    url=f"{BASE}/conda/conda-forge/",
)
USUAL = f"packages/aa/bb/{'c' * 60}/app-1.0-py3-none-any.whl"


def _closed(server: FakeServer, folder: Path, *items: Item, to: Targets | None = None) -> Closure:
    async def main() -> Closure:
        places = Places(await server.mirrors())
        async with closing(
            server, places, to or targets(), workspace=folder, hear=lambda _: None
        ) as one:
            return await one.close(Wanted(items=items))

    return asyncio.run(main())


def _set(*texts: str) -> Requirements:
    return Requirements(
        where="r.txt",
        required=tuple(Required(where="r.txt", requirement=Requirement(it)) for it in texts),
    )


def _locked(**changes: str | None) -> LockedPypi:
    fields: dict[str, str | None] = {
        "where": "uv.lock",
        "project": "app",
        "filename": "app-1.0-py3-none-any.whl",
        "url": f"https://files.example.org/{USUAL}",
        "sha256": None,
        **changes,
    }
    return LockedPypi(**fields)  # type: ignore[arg-type]


def test_requirements_come_to_wheels_with_their_metadata(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app", wheel("app-1.0", "core"))
    server.project("core", wheel("core-1.0"))
    closure = _closed(server, tmp_path, _set("app"))
    assert [file.name for file in closure.files] == [
        "app-1.0-py3-none-any.whl",
        "app-1.0-py3-none-any.whl.metadata",
        "core-1.0-py3-none-any.whl",
        "core-1.0-py3-none-any.whl.metadata",
    ]
    assert closure.files[0].sha256 == wheel("app-1.0", "core").sha256
    assert not closure.failures


def test_sources_come_with_what_they_are_built_with_however_deep(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app", sources("app-1.0", builds_with=("tool>=1", "tool2")))
    server.project("tool", sources("tool-1.0", builds_with=("backend",)))
    server.project("tool2", sources("tool2-1.0", builds_with=("backend", "tool")))
    server.project("backend", wheel("backend-1.0"))
    closure = _closed(server, tmp_path, _set("app"))
    names = {file.name for file in closure.files}
    assert names >= {"app-1.0.tar.gz", "tool-1.0.tar.gz", "tool2-1.0.tar.gz"}
    assert "backend-1.0-py3-none-any.whl" in names
    assert not closure.failures


def test_what_a_build_lacks_is_a_failure_of_its_own(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app", sources("app-1.0", builds_with=("nothing",)))
    closure = _closed(server, tmp_path, _set("app"))
    assert [file.name for file in closure.files] == ["app-1.0.tar.gz"]
    (failure,) = closure.failures
    assert failure.what == "to build app-1.0.tar.gz"


def test_one_target_that_fails_leaves_the_others(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("native", wheel("native-1.0", tag="cp312-cp312-win_amd64"))
    to = targets("linux-64", "win-64")
    closure = _closed(server, tmp_path, _set("native"), to=to)
    assert closure.files[0].name == "native-1.0-cp312-cp312-win_amd64.whl"
    (failure,) = closure.failures
    assert failure.what == "requirements for Python 3.12 on linux-64"


def test_what_a_policy_hides_is_told_where_it_is_missing(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app", wheel("app-1.0", "core>=2"))
    server.project("core", wheel("core-1.0"))
    for files, until, words in (
        (3, None, "3 files of core: It is new."),
        (1, 7200, "1 file of core: It is new (allowed from 1970-01-01 02:00 UTC)."),
        (
            3,
            7200,
            "3 files of core: It is new (the first of them allowed from 1970-01-01 02:00 UTC).",
        ),
    ):
        hidden = Refused(rule="cool-down", reason="It is new.", files=files, until=until)
        server.hidden["pypi/pypi", "core"] = (hidden,)
        closure = _closed(server, tmp_path / f"{files} {until}", _set("app"))
        (failure,) = closure.failures
        assert failure.rule == "cool-down"
        assert failure.reason.endswith(f"; cool-down hides {words}")


def test_pages_of_a_lock_are_asked_for_together(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    names = ("a", "b", "c")
    for name in names:
        server.project(name, wheel(f"{name}-1.0"))
    items = [_locked(project=name, filename=f"{name}-1.0-py3-none-any.whl") for name in names]
    assert len(_closed(server, tmp_path, *items).files) == 6
    assert server.asked == [f"{SIMPLE}{name}/" for name in names]


def test_a_locked_file_is_found_by_its_digest_or_else_by_its_name(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app", wheel("app-1.0"), wheel("app-2.0"))
    digest = wheel("app-2.0").sha256
    by_digest = _closed(server, tmp_path, _locked(sha256=digest))
    assert by_digest.files[0] == Needed(
        url=f"{FILES}app-2.0-py3-none-any.whl", sha256=digest, where="uv.lock"
    )
    by_name = _closed(server, tmp_path, _locked(sha256="0" * 64))
    assert by_name.files[0].url == f"{FILES}app-1.0-py3-none-any.whl"
    assert by_name.files[0].sha256 == "0" * 64  # so that another file is told from it


def test_a_locked_file_that_is_not_listed_is_asked_for_to_learn_why(tmp_path: Path) -> None:
    server = FakeServer([PYPI])
    server.project("app")
    closure = _closed(server, tmp_path, _locked())
    assert closure.files == (Needed(url=f"{PYPI.url}{USUAL}", where="uv.lock"),)
    elsewhere = _locked(url="https://files.example.org/x/a-1.0.tar.gz")
    other = _closed(server, tmp_path, elsewhere)
    assert other.failures[0].reason == "the mirror's page of app does not list it"
    hidden = Refused(rule="cool-down", reason="It is new.", files=1, until=7200)
    server.hidden["pypi/pypi", "app"] = (hidden,)
    (failure,) = _closed(server, tmp_path, elsewhere).failures
    assert failure.rule == "cool-down"
    assert failure.reason.endswith("app: It is new (allowed from 1970-01-01 02:00 UTC).")
    absent = _closed(server, tmp_path, _locked(project="none"))
    assert "there is no" in absent.failures[0].reason


def test_a_locked_package_is_looked_for_in_the_mirror_of_its_channel(tmp_path: Path) -> None:
    server = FakeServer([CONDA])
    url = "https://conda.anaconda.org/conda-forge/noarch/a-1-0.conda"
    locked = LockedConda(where="pixi.lock", url=url, sha256="aa")
    closure = _closed(
        server, tmp_path, locked, LockedConda(where="x", url="https://x.example.org/a")
    )
    assert closure.files == (
        Needed(url=f"{CONDA.url}noarch/a-1-0.conda", sha256="aa", where="pixi.lock"),
    )
    assert closure.failures[0].reason == "no mirror has the channel of https://x.example.org/a"


def test_what_no_mirror_has_is_a_failure(tmp_path: Path) -> None:
    beyond = Beyond(where="r.txt, line 1", what="-e .", reason="it is here")
    closure = _closed(FakeServer([]), tmp_path, beyond)
    assert closure.failures == (Failure(what="-e .", reason="it is here", where="r.txt, line 1"),)


def test_a_file_that_several_ask_for_is_kept_once_with_its_digest() -> None:
    bare, exact = Needed(url="http://x/a"), Needed(url="http://x/a", sha256="aa")
    together = Closure.together([Closure(files=(bare,)), Closure(files=(exact, exact, bare))])
    assert together.files == (exact,)


# -- fetching ----------------------------------------------------------------------------


def _fetched(server: FakeServer, *files: Needed, jobs: int = 2) -> list[Fetched]:
    heard: list[Fetched] = []
    done = asyncio.run(fetch(files, server, jobs=jobs, hear=heard.append))
    assert heard == done
    return done


def test_every_file_is_asked_for_and_every_failure_is_told() -> None:
    server = FakeServer()
    server.bodies = {f"{BASE}/{name}": name.encode() for name in "abcd"}
    server.failing[f"{BASE}/c"] = Denied("c", rule="no-c", reason="never")
    files = [Needed(url=f"{BASE}/{name}", where="r.txt") for name in "abcde"]
    done = {one.file.name: one for one in _fetched(server, *files)}
    assert sorted(done) == ["a", "b", "c", "d", "e"]
    assert done["c"].failure == Failure(
        what="c", reason="c is refused by rule no-c: never", where="r.txt", rule="no-c"
    )
    assert done["e"].failure is not None
    pulled = done["a"].pulled
    assert pulled is not None
    assert pulled.size == 1


def test_another_file_than_the_locked_one_is_a_failure() -> None:
    server = FakeServer()
    server.bodies = {f"{BASE}/a": b"other"}
    (one,) = _fetched(server, Needed(url=f"{BASE}/a", sha256="0" * 64))
    assert one.failure is not None
    assert "the mirror has another file of that name" in one.failure.reason


def test_no_more_files_are_asked_for_at_once_than_allowed() -> None:
    class Counting(FakeServer):
        running = most = 0

        async def read(self, url: str, *, accept: str = "*/*") -> bytes:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                return await super().read(url, accept=accept)
            finally:
                self.running -= 1

    server = Counting()
    server.bodies = {f"{BASE}/{number}": b"x" for number in range(20)}
    _fetched(server, *(Needed(url=url) for url in server.bodies), jobs=3)
    assert server.most == 3
