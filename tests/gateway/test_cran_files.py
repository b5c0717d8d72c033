"""R packages: old versions that have moved, files made for each R, promises that are only MD5."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.model import Artifact, Bounds
from proxy.core.policy import Effect, Names, Policy, Rule, Specs
from proxy.errors import (
    Denied,
    IntegrityError,
    Offline,
    UpstreamFailed,
    UpstreamMissing,
)
from proxy.gateway.answer import IMMUTABLE, Want
from tests.gateway.test_crew import two
from tests.gateway.test_offline import offline
from tests.gateway.world import HOST, World, body_of, play
from tests.lab.cran import RPackage, files
from tests.lab.fake_upstream import FakeFile

CRAN = "cran/r"
OLD, NEW = RPackage(name="tool", version="1.0"), RPackage(name="tool", version="2.0")
OLD_PATH, NEW_PATH = f"src/contrib/{OLD.filename}", f"src/contrib/{NEW.filename}"
ARCHIVED = f"src/contrib/Archive/tool/{OLD.filename}"
R_45 = Want(headers={"user-agent": "R/4.5.1 R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)"})
R_46 = Want(headers={"user-agent": "R (4.6.0 x86_64-pc-linux-gnu x86_64 linux-gnu)"})
NO_TWO = Rule(name="no-two", effect=Effect.DENY, condition=Specs(("tool (>= 2.0)",)))
NO_ONE = Rule(name="no-one", effect=Effect.DENY, condition=Specs(("tool (< 2.0)",)))


def at(path: str) -> str:
    return f"{HOST}/r/{path}"


def repository(
    current: Iterable[RPackage] = (NEW,), archived: Iterable[RPackage] = (OLD,)
) -> dict[str, FakeFile | bytes]:
    found = files(list(current), list(archived))
    pages = {
        at(path.removesuffix("index.html")): body
        for path, body in found.items()
        if path.endswith("index.html")
    }
    return {**{at(path): body for path, body in found.items()}, **pages}


def policy(*rules: Rule) -> Policy:
    return Policy(name="house", rules=rules)


def test_a_listed_file_is_checked_by_its_md5_and_kept_for_good(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        assert await world.read(CRAN, NEW_PATH, R_45) == NEW.tarball
        await world.settled()
        answer = await world.open(CRAN, NEW_PATH, R_46)
        assert (str(answer.status.result), answer.cache_control) == ("hit", IMMUTABLE)
        await answer.close()
        assert world.upstream.count(at(NEW_PATH)) == 1
        assert not any(ask.headers for ask in world.upstream.asks), "nothing of the client's R"

    play(tmp_path, script, repository())


def test_a_file_that_is_not_what_packages_promises_reaches_nobody_whole(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.upstream.files[at(NEW_PATH)] = NEW.tarball[:-1] + b"!"
        for _ in range(2):  # that the archive has none does not make it a missing one
            with pytest.raises(IntegrityError):
                await world.read(CRAN, NEW_PATH)
        assert world.told.wrongs

    play(tmp_path, script, repository())


def test_a_large_file_flows_while_it_is_fetched_whether_it_is_vouched_for_or_not(
    tmp_path: Path,
) -> None:
    """R gives up 60 seconds after it has asked, however much has come by then."""
    large = random.Random(5).randbytes(300_000)
    digest = hashlib.md5(large).hexdigest()
    index = f"Package: tool\nVersion: 2.0\nMD5sum: {digest}\n".encode()

    async def script(world: World) -> None:
        for path in (NEW_PATH, ARCHIVED):
            held = world.upstream.files[at(path)] = FakeFile(body=large, held_at=200_000)
            answer = await world.open(CRAN, path)
            await held.reached.wait()
            assert await answer.body.wait_past(0) > 0  # type: ignore[union-attr]
            held.release.set()
            assert await body_of(answer) == large
            await answer.close()

    play(tmp_path, script, {**repository(), at("src/contrib/PACKAGES.gz"): index})


def test_a_file_that_moved_to_the_archive_is_found_under_its_first_address(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for _ in range(2):
            assert await world.read(CRAN, OLD_PATH) == OLD.tarball
            await world.settled()
        assert world.upstream.count(at(OLD_PATH)) == 1, "that it is not there is remembered"
        assert world.upstream.count(at(ARCHIVED)) == 1
        world.now += 3 * 3600
        for path in list(world.upstream.files):
            world.upstream.files[path] = FakeFile(error=UpstreamFailed("down"))
        assert await world.read(CRAN, OLD_PATH) == OLD.tarball
        assert await world.read(CRAN, ARCHIVED) == OLD.tarball

    play(tmp_path, script, repository())


def test_a_file_that_moves_while_its_index_is_held_is_found(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read(CRAN, "src/contrib/PACKAGES")
        world.upstream.files.clear()
        world.upstream.files.update(repository())
        assert await world.read(CRAN, OLD_PATH) == OLD.tarball

    play(tmp_path, script, repository(current=[OLD], archived=[]))


def test_a_file_that_moved_before_the_index_says_so_is_checked_all_the_same(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        del world.upstream.files[at(OLD_PATH)]
        for _ in range(2):
            answer = await world.open(CRAN, OLD_PATH)
            assert answer.cache_control == IMMUTABLE
            await answer.close()
            await world.settled()
        world.upstream.files[at(ARCHIVED)] = b"something else"
        await world.catalog.forget([f"{CRAN} {ARCHIVED}"])
        with pytest.raises(IntegrityError):
            await world.read(CRAN, OLD_PATH)

    play(tmp_path, script, repository(current=[OLD], archived=[OLD]))


def test_what_was_verified_stays_when_a_newer_version_takes_its_place(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        assert await world.read(CRAN, OLD_PATH) == OLD.tarball
        await world.settled()
        world.upstream.files.clear()
        world.upstream.files.update(repository())
        del world.upstream.files[at(ARCHIVED)]
        world.now += 3 * 3600
        for path in (OLD_PATH, ARCHIVED):
            assert await world.read(CRAN, path) == OLD.tarball
        world.rule(policy(NO_TWO))
        for path in (OLD_PATH, ARCHIVED):
            assert await world.read(CRAN, path) == OLD.tarball, "the archive's index lists it"
        assert not world.upstream.count(at(ARCHIVED))

    play(tmp_path, script, repository(current=[OLD], archived=[]))


def test_a_file_that_is_nowhere_is_missing(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for path in ("src/contrib/none_1.0.tar.gz", "src/contrib/Archive/none/none_1.0.tar.gz"):
            with pytest.raises(UpstreamMissing):
                await world.read(CRAN, path)

    play(tmp_path, script, repository())


def test_what_cannot_be_asked_for_is_not_called_missing(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.upstream.files[at(OLD_PATH)] = FakeFile(error=UpstreamFailed("down"))
        with pytest.raises(UpstreamFailed):
            await world.read(CRAN, OLD_PATH)

    play(tmp_path, script, repository(archived=[]))


# -- policies ----------------------------------------------------------------------------


def test_an_archived_file_is_judged_by_the_archive_s_index(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.rule(policy(NO_ONE))
        for path in (OLD_PATH, ARCHIVED):
            with pytest.raises(Denied) as refused:
                await world.read(CRAN, path)
            assert (refused.value.filename, refused.value.rule) == (OLD.filename, "no-one")
        assert await world.read(CRAN, NEW_PATH) == NEW.tarball
        assert OLD.filename not in (await world.read(CRAN, "src/contrib/Archive/tool/")).decode()
        world.rule(policy(NO_TWO))
        for path in (OLD_PATH, ARCHIVED):
            assert await world.read(CRAN, path) == OLD.tarball
        with pytest.raises(Denied):
            await world.read(CRAN, NEW_PATH)
        assert OLD.filename in (await world.read(CRAN, "src/contrib/Archive/tool/")).decode()

    play(tmp_path, script, repository())


def test_under_a_policy_what_no_index_lists_is_refused(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.rule(policy(Rule(name="r", effect=Effect.DENY, condition=Names(("other",)))))
        world.upstream.files[at("src/contrib/extra_1.0.tar.gz")] = b"not listed"
        for path in ("src/contrib/extra_1.0.tar.gz", "src/contrib/Archive/extra/extra_1.0.tar.gz"):
            with pytest.raises(Denied, match="unlisted"):
                await world.read(CRAN, path)

    play(tmp_path, script, repository())


def test_what_cannot_be_judged_because_the_archive_s_index_cannot_be_had_is_not_let_through(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        world.rule(policy(NO_TWO))
        world.upstream.files[at("src/contrib/Meta/archive.rds")] = FakeFile(
            error=UpstreamFailed("down")
        )
        with pytest.raises(UpstreamFailed):
            await world.read(CRAN, ARCHIVED)

    play(tmp_path, script, repository())


# -- files made for each R ---------------------------------------------------------------


def test_where_no_digest_is_known_each_r_gets_the_file_made_for_it(tmp_path: Path) -> None:
    path = "__linux__/noble/latest/src/contrib/tool_2.0.tar.gz"
    index = "__linux__/noble/latest/src/contrib/PACKAGES"
    bodies = {"R (4.5.1": b"for 4.5", "R (4.6.0": b"for 4.6", "": b"source"}

    async def script(world: World) -> None:
        for want, agent in ((R_45, "R (4.5.1"), (R_46, "R (4.6.0"), (Want(), "")):
            world.upstream.files[at(path)] = bodies[agent]
            for _ in range(2):
                answer = await world.open(CRAN, path, want)
                assert "User-Agent" in answer.vary
                await answer.close()
                assert await world.read(CRAN, path, want) == bodies[agent]
                await world.settled()
        asked = [ask for ask in world.upstream.asks if ask.url == at(path)]
        assert [ask.headers.get("user-agent", "") for ask in asked] == [
            "R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)",
            "R (4.6.0 x86_64-pc-linux-gnu x86_64 linux-gnu)",
            "",
        ]
        patched = Want(headers={"user-agent": "R (4.5.2 x86_64-pc-linux-gnu x86_64 linux-gnu)"})
        assert await world.read(CRAN, path, patched) == b"for 4.5", "a patch makes no difference"

    text = b"Package: tool\nVersion: 2.0\nMD5sum: " + b"0" * 32 + b"\n"
    play(tmp_path, script, {at(index): text})


def test_where_upstream_says_that_it_chooses_each_r_has_its_own(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for want, body in ((R_45, b"for 4.5"), (R_46, b"for 4.6")):
            headers = {"vary": "User-Agent"}
            world.upstream.files[at(ARCHIVED)] = FakeFile(body=body, headers=headers)
            for _ in range(2):
                assert await world.read(CRAN, ARCHIVED, want) == body
                await world.settled()
        assert world.upstream.count(at(ARCHIVED)) == 2

    play(tmp_path, script, repository())


def test_where_it_does_not_choose_one_file_is_for_all(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for want in (R_45, R_46, Want()):
            answer = await world.open(CRAN, ARCHIVED, want)
            assert answer.vary == ()
            assert await body_of(answer) == OLD.tarball
            await answer.close()
            await world.settled()
        assert world.upstream.count(at(ARCHIVED)) == 1

    play(tmp_path, script, repository())


def test_a_mirror_of_such_an_address_keeps_them_apart_too(tmp_path: Path) -> None:
    source = f"{HOST}/r/__linux__/noble/latest/"
    index = b"Package: tool\nVersion: 2.0\nMD5sum: " + b"0" * 32 + b"\n"

    async def script(world: World) -> None:
        for key, mirror in world.mirrors.items():
            world.mirrors[key] = replace(mirror, source=source)
        world.gateway.configure(world.mirrors.values())
        for want, body in ((R_45, b"for 4.5"), (R_46, b"for 4.6"), (R_45, b"for 4.5")):
            world.upstream.files[f"{source}{NEW_PATH}"] = body
            assert await world.read(CRAN, NEW_PATH, want) == body
            await world.settled()

    play(tmp_path, script, {f"{source}src/contrib/PACKAGES": index})


def test_workers_hand_over_which_r_asks(tmp_path: Path) -> None:
    folder = "__linux__/noble/latest/src/contrib"
    path = f"{folder}/tool_2.0.tar.gz"

    async def main() -> None:
        async with two(tmp_path, {}) as workers:
            workers[0].upstream.files.update(
                {
                    at(f"{folder}/PACKAGES"): b"Package: tool\nVersion: 2.0\n",
                    at(path): FakeFile(body=b"made for it"),
                }
            )
            for worker in workers:
                for want in (R_45, R_46):
                    assert await worker.read(CRAN, path, want) == b"made for it"
                    await worker.settled()
            agents = [a.headers["user-agent"] for a in workers[0].upstream.asks if a.headers]
            assert len(agents) == 2
            assert isinstance(workers[0].resource(CRAN, path), Artifact)

    asyncio.run(main())


def test_an_index_is_asked_for_once_in_all_its_forms(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        forms = [
            await world.read(CRAN, f"src/contrib/PACKAGES{ending}")
            for ending in ("", ".gz", ".rds")
        ]
        assert all(forms)
        urls = [ask.url for ask in world.upstream.asks]
        assert urls == [at("src/contrib/PACKAGES.gz")]

    play(tmp_path, script, repository(), bounds=Bounds())


# -- offline -----------------------------------------------------------------------------


def test_offline_what_has_moved_is_served_and_the_archive_lists_what_is_here(
    tmp_path: Path,
) -> None:
    lost = RPackage(name="tool", version="0.5")

    async def before(it: World) -> None:
        assert await it.read(CRAN, OLD_PATH, R_45) == OLD.tarball
        assert await it.read(CRAN, NEW_PATH) == NEW.tarball
        await it.read(CRAN, "src/contrib/Meta/archive.rds")

    async def then(it: World) -> None:
        for path in (OLD_PATH, ARCHIVED):
            assert await it.read(CRAN, path, R_45) == OLD.tarball
        assert await it.read(CRAN, NEW_PATH) == NEW.tarball
        packed = gzip.decompress(await it.read(CRAN, "src/contrib/Meta/archive.rds"))
        assert OLD.filename.encode() in packed
        assert lost.filename.encode() not in packed
        listed = await it.read(CRAN, "src/contrib/PACKAGES")
        assert (b"Package: tool" in listed, b"Package: other" in listed) == (True, False)
        for path in (
            f"src/contrib/{lost.filename}",
            f"src/contrib/Archive/tool/{lost.filename}",
            "src/contrib/other_1.0.tar.gz",
        ):
            with pytest.raises(Offline):
                await it.read(CRAN, path)

    upstream = repository([NEW, RPackage(name="other")], [lost, OLD])
    offline(tmp_path, before, then, upstream, only_present=True)


def test_offline_a_verified_file_is_in_the_archive_once_it_is_listed_there(tmp_path: Path) -> None:
    async def before(it: World) -> None:
        assert await it.read(CRAN, OLD_PATH) == OLD.tarball
        await it.settled()
        it.upstream.files.update(repository())
        it.now += 3 * 3600
        await it.read(CRAN, "src/contrib/PACKAGES")
        await it.read(CRAN, "src/contrib/Meta/archive.rds")

    async def then(it: World) -> None:
        for path in (OLD_PATH, ARCHIVED):
            assert await it.read(CRAN, path) == OLD.tarball
        packed = gzip.decompress(await it.read(CRAN, "src/contrib/Meta/archive.rds"))
        assert OLD.filename.encode() in packed

    offline(tmp_path, before, then, repository(current=[OLD], archived=[]), only_present=True)
