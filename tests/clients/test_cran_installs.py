"""A real R installs through the proxy, from repositories that R itself has indexed.

The upstream wants a password that only the proxy knows, so that nothing goes round the proxy.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.clients import ClientError, R, fetch
from tests.lab.cran import RPackage, build_repository, reindexed
from tests.lab.origin import Basic, Behaviour, Origin
from tests.lab.server import MirrorConfig, ProxyServer

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(R.executable() is None, reason="R (r-base-core) is not installed here"),
]

CONTRIB = "src/contrib"
CURRENT = (
    RPackage(name="app", imports=("web (>= 1.0)", "base.tools")),
    RPackage(name="web", version="1.0", imports=("base.tools",)),
    RPackage(name="web", version="2.0", imports=("base.tools",)),
    RPackage(name="base.tools", version="0.1-3", licence="MIT + file LICENSE | GPL-2"),
    RPackage(name="copyleft", licence="GPL (>= 2)"),
    RPackage(name="unclear", licence="file LICENSE"),
    RPackage(name="single", version="3.0"),
)
ARCHIVED = (
    RPackage(name="single", version="1.0"),
    RPackage(name="single", version="2.0"),
    RPackage(name="gone", version="0.9"),
)
ALL = {"app": "1.0", "web": "2.0", "base.tools": "0.1-3"}
REASON = "Needs the consent of legal@example.org."
POLICY = f"""
[[rule]]
name = "leaky-two"
deny = {{ specs = ["web (>= 2.0)", "single (< 2.0)"] }}
reason = "It leaks."

[[rule]]
name = "copyleft"
deny = {{ names = ["copy*", "web"], licence_families = ["GPL"] }}
reason = "{REASON}"

[[rule]]
name = "unclear"
deny = {{ names = ["u*", "app"], licences = ["LicenseRef-*"] }}
"""
CLOSED = """
default = "deny"
[[rule]]
name = "wanted"
allow = { specs = ["app"], dependencies = true }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An upstream with repositories, and the proxy."""

    origin: Origin
    proxy: ProxyServer

    def repository(self, mirror: str, kind: str = "cran") -> str:
        return f"{self.proxy.url}/{kind}/{mirror}"

    def contrib(self, mirror: str) -> str:
        return f"{self.repository(mirror)}/{CONTRIB}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("cran")
    www = folder / "www"
    build_repository(www / "all", CURRENT, ARCHIVED)
    reindexed(www / "all")
    for name, left in (("plain", {"PACKAGES"}), ("packed", {"PACKAGES.gz"})):
        shutil.copytree(www / "all", www / name)
        for index in (www / name / CONTRIB).glob("PACKAGES*"):
            if index.name not in left:
                index.unlink()
    shutil.copytree(www / "all", www / "posit" / "__linux__" / "noble" / "latest")
    user, password = "proxy-user", "upstream-secret"
    with Origin(www, Behaviour(auth=Basic(user=user, password=password))) as origin:
        source = origin.url.replace("//", f"//{user}:{password}@")
        mirrors = [
            MirrorConfig(type="cran", name="warm", source=f"{source}/all"),
            MirrorConfig(type="cran", name="open", source=f"{source}/all"),
            MirrorConfig(type="cran", name="plain", source=f"{source}/plain"),
            MirrorConfig(type="files", name="plain", source=f"{source}/plain"),
            MirrorConfig(type="files", name="packed", source=f"{source}/packed"),
            MirrorConfig(type="cran", name="posit", source=f"{source}/posit"),
            MirrorConfig(
                type="cran", name="ruled", source=f"{source}/all", options={"policy": "house"}
            ),
            MirrorConfig(
                type="cran", name="closed", source=f"{source}/all", options={"policy": "closed"}
            ),
        ]
        proxy = ProxyServer(folder / "proxy", mirrors)
        (folder / "proxy" / "policies").mkdir()
        (folder / "proxy" / "policies" / "house.toml").write_text(POLICY)
        (folder / "proxy" / "policies" / "closed.toml").write_text(CLOSED)
        with proxy:
            yield World(origin=origin, proxy=proxy)


def test_r_installs_cold_warm_and_without_upstream(world: World, tmp_path: Path) -> None:
    repository = world.repository("warm")
    assert R(tmp_path / "cold").install(repository, "app") == ALL
    world.origin.forget()
    assert R(tmp_path / "warm").install(repository, "app") == ALL
    assert not world.origin.seen
    with world.origin.stopped():
        assert R(tmp_path / "alone").install(repository, "app") == ALL


@pytest.mark.parametrize(
    ("mirror", "asked"),
    [("packed", [".rds", ".gz"]), ("plain", [".rds", ".gz", ""])],
)
def test_r_goes_from_rds_to_gz_to_the_plain_index_and_says_nothing(
    world: World, tmp_path: Path, mirror: str, asked: list[str]
) -> None:
    world.origin.forget()
    r = R(tmp_path)
    assert r.install(world.repository(mirror, "files"), "single") == {"single": "3.0"}
    indexes = [seen.path for seen in world.origin.seen if "/PACKAGES" in seen.path]
    assert [path.partition("/PACKAGES")[2] for path in indexes] == asked


def test_r_finds_all_three_forms_here_whatever_upstream_has(world: World, tmp_path: Path) -> None:
    world.origin.forget()
    out = R(tmp_path).run(
        "u <- contrib.url(getOption('repos'))",
        "read <- function(form, as) { f <- tempfile()",
        "  download.file(paste0(u, '/PACKAGES', form), f, quiet = TRUE, cacheOK = FALSE); as(f) }",
        "rds <- read('.rds', readRDS); gz <- read('.gz', read.dcf); text <- read('', read.dcf)",
        "rownames(rds) <- NULL",
        "stopifnot(identical(rds[, colnames(text)], text), identical(gz, text), nrow(text) == 7)",
        "stopifnot(identical(readRDS(url(paste0(u, '/PACKAGES.rds')))[, 'Package'], ",
        "  setNames(text[, 'Package'], text[, 'Package'])))",
        "cat('the same')",
        repository=world.repository("plain"),
    )
    assert "the same" in out
    indexes = [seen.path for seen in world.origin.seen if "/PACKAGES" in seen.path]
    assert [path.partition("/PACKAGES")[2] for path in indexes] == [".gz", ""]


def test_no_cache_from_r_does_not_send_us_upstream(world: World, tmp_path: Path) -> None:
    look = "invisible(available.packages(ignore_repo_cache = TRUE))"
    r = R(tmp_path)
    r.run(look, repository=world.repository("open"))
    world.origin.forget()
    r.run(look, look, repository=world.repository("open"))
    assert not world.origin.seen


def test_an_old_version_is_found_where_it_was_and_in_the_archive(
    world: World, tmp_path: Path
) -> None:
    contrib = world.contrib("open")
    r = R(tmp_path)
    for url in (
        f"{contrib}/single_2.0.tar.gz",
        f"{contrib}/Archive/single/single_1.0.tar.gz",
        f"{contrib}/Archive/gone/gone_0.9.tar.gz",
    ):
        r.run("options(warn = 2)", f'install.packages("{url}", repos = NULL)', repository="")
        name, version = re.findall(r"(\w+)_([0-9.]+)\.tar", url)[0]
        assert r.installed()[name] == version
    page = fetch(f"{contrib}/Archive/single/")
    assert page.status == 200
    assert re.findall(r'href="([^"]+)"', page.body.decode()) == [
        "single_1.0.tar.gz",
        "single_2.0.tar.gz",
    ]


# What remotes::install_version and renv do to find an old version.
_OLDER = (
    "con <- gzcon(url(paste0(contrib.url(getOption('repos')), '/Meta/archive.rds'), 'rb'))",
    "archive <- readRDS(con); close(con)",
    "files <- archive[['single']]",
    "stopifnot(is.data.frame(files), inherits(files$mtime, 'POSIXct'), all(files$size > 0))",
    "cat('listed:', sub('.*/', '', rownames(files)), '\\n')",
    "cat('names:', names(archive), '\\n')",
    "file <- rownames(files)[nrow(files)]",
    "install.packages(paste0(contrib.url(getOption('repos')), '/Archive/', file), repos = NULL)",
)


def test_r_finds_old_versions_in_the_archive_s_index(world: World, tmp_path: Path) -> None:
    r = R(tmp_path)
    out = r.run(*_OLDER, repository=world.repository("open"))
    assert "listed: single_1.0.tar.gz single_2.0.tar.gz" in out
    assert "names: gone single" in out
    assert r.installed() == {"single": "2.0"}


def test_the_archive_s_index_hides_what_the_policy_hides(world: World, tmp_path: Path) -> None:
    r = R(tmp_path)
    out = r.run(*_OLDER, repository=world.repository("ruled"))
    assert "listed: single_2.0.tar.gz \n" in out
    assert "names: gone single" in out
    assert r.installed() == {"single": "2.0"}


def test_r_takes_the_version_that_the_policy_allows(world: World, tmp_path: Path) -> None:
    found = R(tmp_path).install(world.repository("ruled"), "app")
    assert found == {**ALL, "web": "1.0"}


def test_r_is_not_shown_what_is_refused_by_licence(world: World, tmp_path: Path) -> None:
    for name in ("copyleft", "unclear"):
        with pytest.raises(ClientError, match="is not available"):
            R(tmp_path / name).install(world.repository("ruled"), name)


def test_r_prints_why_a_file_is_refused(world: World, tmp_path: Path) -> None:
    """A session remembers an index for an hour, and so may ask for what is hidden by now."""
    with pytest.raises(ClientError) as refused:
        R(tmp_path).run(
            "listed <- available.packages(repos = sub('ruled', 'open', getOption('repos')))",
            "listed[, 'Repository'] <- contrib.url(getOption('repos'))",
            "options(warn = 1)",
            "install.packages('copyleft', available = listed)",
            "quit(status = 1)",
            repository=world.repository("ruled"),
        )
    said = str(refused.value)
    assert "refused+by+rule+copyleft:+Needs+the+consent+of+legal@example.org" in said
    assert "403 Forbidden" in said


def test_an_allow_list_installs_with_all_that_it_needs(world: World, tmp_path: Path) -> None:
    repository = world.repository("closed")
    assert R(tmp_path).install(repository, "app") == ALL
    with pytest.raises(ClientError, match="is not available"):
        R(tmp_path / "other").install(repository, "single")


def test_renv_takes_the_server_for_one_with_cran_s_layout(world: World) -> None:
    """It looks at these headers of the index to find out where old versions are."""
    reply = fetch(f"{world.contrib('open')}/PACKAGES", method="HEAD")
    assert reply.status == 200
    assert "nexus" not in reply.headers["server"].lower()
    assert "x-artifactory-id" not in reply.headers


def test_an_address_that_answers_by_the_r_that_asks_is_told_which_it_is(
    world: World, tmp_path: Path
) -> None:
    r = R(tmp_path)
    r.run(
        # What such servers tell their users to set.
        'agent <- sprintf("R/%s R (%s)", getRversion(), paste(getRversion(), '
        'R.version["platform"], R.version["arch"], R.version["os"]))',
        "options(warn = 2, HTTPUserAgent = agent)",
        "install.packages('single')",
        repository=f"{world.repository('posit')}/__linux__/noble/latest",
    )
    assert r.installed() == {"single": "3.0"}
    agents = {
        seen.path.rpartition("/")[2]: seen.headers.get("user-agent", "")
        for seen in world.origin.asked("/posit/*")
    }
    assert re.fullmatch(r"R \(\d+\.\d+\.\d+ \S+ \S+ \S+\)", agents["single_3.0.tar.gz"])
    assert agents["PACKAGES.gz"].startswith("pkgproxy/")


def test_the_command_line_explains_and_compares(world: World) -> None:
    for path in ("PACKAGES", "Meta/archive.rds"):
        fetch(f"{world.contrib('ruled')}/{path}")

    def policy(*arguments: str) -> str:
        command = [sys.executable, "-m", "proxy", "policy", *arguments]
        where = ["--config", str(world.proxy.config_file)]
        run = subprocess.run([*command, *where], check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    explained = policy("explain", "cran/ruled", "single")
    assert "single_3.0.tar.gz: allow by default" in explained
    assert "single/single_1.0.tar.gz: deny by leaky-two: It leaks; known since 20" in explained
    changed = policy("diff", "none", "house", "--mirror", "cran/ruled")
    assert "- src/contrib/PACKAGES: web_2.0.tar.gz" in changed
    assert "- src/contrib/Meta/archive.rds: single/single_1.0.tar.gz" in changed
    fetch(f"{world.contrib('closed')}/PACKAGES")
    kept = policy("dependencies", "cran/closed", "--format", "csv")
    assert "src/contrib,base.tools_0.1-3.tar.gz,base.tools,0.1-3,app 1.0" in kept


@pytest.mark.skipif(not R.has("remotes"), reason="remotes (r-cran-remotes) is not installed here")
def test_remotes_installs_the_old_version_that_is_asked_for(world: World, tmp_path: Path) -> None:
    wanted = 'remotes::install_version("single", "{}", quiet = TRUE)'
    r = R(tmp_path)
    r.run(wanted.format("2.0"), repository=world.repository("ruled"))
    assert r.installed() == {"single": "2.0"}
    with pytest.raises(ClientError, match=r"version '1\.0' is invalid"):
        r.run(wanted.format("1.0"), repository=world.repository("ruled"))


def test_a_folder_of_binaries_that_upstream_lacks_is_404(world: World) -> None:
    for path in ("bin/windows/contrib/4.5/PACKAGES.rds", "bin/macosx/contrib/4.5/PACKAGES.gz"):
        assert fetch(f"{world.repository('open')}/{path}").status == 404
