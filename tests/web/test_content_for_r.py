"""What R sees of answers."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

from proxy.core.policy import Names
from tests.ecosystems.policies import deny, policy
from tests.gateway.test_cran_files import NEW, NEW_PATH, R_45, repository
from tests.web.test_content import Door, visit

PATH = f"/cran/r/{NEW_PATH}"
AGENT = R_45.headers["user-agent"]


def test_a_refusal_leads_r_to_an_address_that_says_why_and_is_counted_once(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        door.world.rule(policy(deny(Names(("tool",)), "no-tool", reason="Ask first.")))
        for method in ("GET", "HEAD"):
            reply, body = await door.get(PATH, method, User_Agent=AGENT)
            assert (reply.status, body) == (307, b"")
            assert reply.headers["Cache-Control"] == "no-store"
            assert "no-tool" in reply.headers["Cache-Status"]
            where = reply.headers["Location"]
            assert where == "?refused+by+rule+no-tool:+Ask+first."
            again, _ = await door.get(f"{PATH}{where}", method, User_Agent=AGENT)
            assert again.status == 403
        reply, _ = await door.get(PATH, User_Agent="Wget/1.21")
        assert reply.status == 403
        errors = [exchange.error for exchange in door.heard.exchanges]
        assert [error is not None for error in errors] == [False, True, False, True, True]
        assert not door.world.upstream.count(NEW_PATH)

    visit(tmp_path, script, repository())


def test_no_cache_from_the_client_is_not_heeded(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path in ("/cran/r/src/contrib/PACKAGES.rds", PATH):
            for _ in range(3):
                reply, _ = await door.get(path, Pragma="no-cache", Cache_Control="no-cache")
                assert reply.status == 200
                await door.world.settled()
        assert len(door.world.upstream.asks) == 2, "the index once, the file once"

    visit(tmp_path, script, repository())


def test_indexes_have_the_types_that_r_expects_and_no_coding(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for ending, kind in ((".gz", "application/gzip"), (".rds", "application/octet-stream")):
            reply, body = await door.get(
                f"/cran/r/src/contrib/PACKAGES{ending}", Accept_Encoding="gzip"
            )
            assert reply.headers["Content-Type"] == kind
            assert "Content-Encoding" not in reply.headers
            assert body.startswith(b"\x1f\x8b")
        reply, _ = await door.get(PATH)
        assert reply.headers["Content-Type"] == "application/gzip"
        assert "Content-Encoding" not in reply.headers

    visit(tmp_path, script, repository())


def test_an_archived_package_s_folder_has_a_slash_at_its_end(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        folder = "/cran/r/src/contrib/Archive/tool"
        reply, _ = await door.get(folder)
        assert reply.status == 301
        assert urljoin(folder, reply.headers["Location"]) == f"{folder}/"
        reply, body = await door.get(f"{folder}/")
        assert reply.headers["Content-Type"] == "text/html"
        assert b"tool_1.0.tar.gz" in body

    visit(tmp_path, script, repository())


def test_the_user_agent_reaches_upstream_only_where_it_may_choose_by_it(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        await door.get(PATH, User_Agent=AGENT)
        await door.get("/cran/r/src/contrib/Archive/tool/tool_1.0.tar.gz", User_Agent=AGENT)
        told = {ask.url.rpartition("/")[2]: dict(ask.headers) for ask in door.world.upstream.asks}
        r = "R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)"
        assert told == {
            "PACKAGES.gz": {},
            NEW.filename: {},
            "tool_1.0.tar.gz": {"user-agent": r},
        }

    visit(tmp_path, script, repository())
