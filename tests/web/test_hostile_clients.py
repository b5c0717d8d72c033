"""Hostile clients and upstreams get nothing that is not theirs, and spoil nothing for others."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.lab.clients import Reply, fetch
from tests.lab.server import MirrorConfig, ProxyServer, eventually
from tests.web.hostile import Says, Upstream, exchanged, interrupted, request, upstream

SECRET = b"what-lies-beside-the-cache"
INNER = b"what-only-the-inside-may-read"
USER, PASSWORD = "proxy-user", "s3cret-of-the-proxy"
FILE = b"a file that everybody may have " * 100
PAGE_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The proxy, its upstream (as `localhost`), a host of the inside (as `127.0.0.1`)."""

    proxy: ProxyServer
    upstream: Upstream
    inside: Upstream
    folder: Path

    def ask(self, path: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(self.proxy.url + path, headers=named)

    def raw(self, *packets: bytes) -> bytes:
        return exchanged(self.proxy.port, *packets)

    def logged(self, what: str) -> str:
        """The line of the log that says *what*, which comes a moment after the answer."""
        eventually(lambda: what in self.proxy.log, f"the log says {what}")
        return next(line for line in self.proxy.log.splitlines() if what in line)

    def assert_log_is_lines(self) -> None:
        """Every line since the banner is one of ours, in visible ASCII."""
        log = self.proxy.log
        lines = log[re.search(r"^\d{4}-\d\d-\d\dT", log, re.MULTILINE).start() :].split("\n")  # type: ignore[union-attr]
        for line in lines[:-1]:
            assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warning|error) ", line), line
            assert line.isascii()
            assert line.isprintable()

    def half(self, *packets: bytes) -> bytes:
        return interrupted(self.proxy.port, *packets)


def page(name: str, *files: dict[str, object]) -> Says:
    body = {
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": ["1.0"],
        "files": list(files),
    }
    return Says(headers={"Content-Type": PAGE_TYPE}, body=json.dumps(body).encode())


def listed(filename: str, url: str, body: bytes = FILE) -> dict[str, object]:
    hashes = {"sha256": hashlib.sha256(body).hexdigest()}
    return {"filename": filename, "url": url, "hashes": hashes, "size": len(body)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "secret").write_bytes(SECRET)
    with upstream() as outer, upstream() as inside:
        source = outer.url("localhost")
        guarded = source.replace("//", f"//{USER}:{PASSWORD}@")
        mirrors = [
            MirrorConfig(type="files", name="tree", source=f"{source}/a/b/tree/"),
            MirrorConfig(type="pypi", name="index", source=f"{source}/simple/"),
            MirrorConfig(
                type="files",
                name="guarded",
                source=f"{guarded}/guarded/",
                options={"allow_hosts": ["127.0.0.1"]},
            ),
        ]
        outer.says["/a/b/tree/file"] = Says(body=FILE, headers={"ETag": '"1"'})
        outer.says["/a/secret"] = outer.says["/secret"] = Says(body=SECRET)
        inside.says["/inner"] = Says(body=INNER)
        with ProxyServer(folder / "proxy", mirrors) as proxy:
            yield Scene(proxy=proxy, upstream=outer, inside=inside, folder=folder)


def count(received: bytes) -> int:
    """How many answers came back."""
    return len(re.findall(rb"(?:^|\n)HTTP/1\.[01] \d{3} ", received))


# -- paths that lead out -------------------------------------------------------------------

UP = [
    *("..", "%2e%2e", ".%2e", "%2E.", "%252e%252e", "..%00", "..;", "%c0%ae%c0%ae"),
    # Full stops of another width, in UTF-8.
    *("\xef\xbc\x8e" * 2, "%ef%bc%8e" * 2),
]
SLASH = ("/", "%2f", "%5c", "\\", "//", "%252f", "%c0%af", "/./", "%00/")


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize("slash", SLASH)
def test_no_spelling_of_a_path_leads_out_of_a_mirror(scene: Scene, up: str, slash: str) -> None:
    scene.upstream.asked.clear()
    climb = slash.join([up] * 2)
    for target in (
        f"/files/tree/{climb}{slash}secret",
        f"/files/tree/x{slash}{slash.join([up] * 3)}{slash}secret",
        f"/files/tree{slash}{climb}{slash}secret",
        f"/files{slash}{up}{slash}{up}{slash}secret",
        f"{slash}{climb}{slash}{climb}{slash}etc{slash}passwd",
        f"/t/x/files/tree/{climb}{slash}secret",
        f"/files/t/{up}/tree/{climb}{slash}secret",
    ):
        received = scene.raw(request(target))
        assert SECRET not in received, target
        assert b"root:" not in received, target
        assert count(received) == 1, target
    for path, _ in scene.upstream.asked:
        assert path.startswith("/a/b/tree/"), path
        assert ".." not in path.split("?")[0].split("/"), path


@pytest.mark.parametrize(
    "target",
    [
        "/files/tree/%2e%2e/%2e%2e/secret",
        "http://127.0.0.1:9/inner",
        "//127.0.0.1:9/inner",
        "///etc/passwd",
        "/files/tree/http://127.0.0.1:9/inner",
        "/files/tree/@127.0.0.1:9/inner",
        "/files/tree//127.0.0.1:9/inner",
        "/files/tree/?/../../secret",
        "/files/tree/#/../../secret",
        "*",
        "file:///etc/passwd",
        "127.0.0.1:9",
    ],
)
def test_no_target_is_an_address_to_fetch_from(scene: Scene, target: str) -> None:
    scene.upstream.asked.clear()
    scene.inside.asked.clear()
    there = target.replace(":9/", f":{scene.inside.port}/").removesuffix(":9")
    for method in ("GET", "CONNECT", "OPTIONS", "TRACE", "PROPFIND"):
        received = scene.raw(request(there, method=method))
        assert INNER not in received
        assert SECRET not in received
    assert not scene.inside.asked
    assert all(path.startswith("/a/b/tree/") for path, _ in scene.upstream.asked)


# -- what a client writes into our answers and logs ----------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/files/tree/a%0d%0aX-Injected:%20yes",
        "/none/a%0d%0aX-Injected:%20yes/x",
        "/pypi/index/simple/A%0d%0aX-Injected:%20yes/",
        "/pypi/index/simple/DEMO%0aX-Injected:yes",
        "/pypi/index/simple/Demo?x=%0d%0aX-Injected:%20yes",
        "/files/tree/a%E5%98%8D%E5%98%8AX-Injected:%20yes",
        "/files/tree/a%c2%85X-Injected:%20yes",
    ],
)
def test_no_path_becomes_a_header_or_a_line_of_the_log(scene: Scene, target: str) -> None:
    received = scene.raw(request(target))
    head = received.partition(b"\r\n\r\n")[0]
    assert count(received) == 1
    assert not re.search(rb"(?im)^x-injected", head)
    assert re.fullmatch(rb"[\x20-\x7e]*(\r\n[\x20-\x7e]*)*", head), "no bare CR, LF or control"
    scene.assert_log_is_lines()


@pytest.mark.parametrize(
    "value",
    [
        "a\x1b[2J\x1b[31mfake",
        'a" status=200 path="/forged',
        "a\u0085b".encode("latin-1", "ignore").decode("latin-1"),
        "\xff\xfe\x80",
        "x" * 5000,
        "a\tlevel=error",
        "${jndi:ldap://127.0.0.1/a}",
        "%n%s%x{0}{event}",
    ],
)
def test_what_a_client_is_called_stays_one_field_of_one_line(scene: Scene, value: str) -> None:
    name = hashlib.sha256(value.encode()).hexdigest()[:12]
    received = scene.raw(request(f"/files/tree/{name}", f"User-Agent: {value}"))
    assert count(received) == 1
    if received.startswith(b"HTTP/1.0 400 "):
        return  # aiohttp has refused the head
    line = scene.logged(f"path=/files/tree/{name} ")
    assert line.count(" status=") == 1 + value.count(" status=")
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
    assert outside.count(" status=") == 1
    assert "forged" not in outside
    assert "level=error" not in outside


@pytest.mark.parametrize(
    "head",
    [
        f"BAN /x HTTP/1.1\r\nAuthorization: Bearer {PASSWORD}\r\n\r\n".encode(),
        f"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PASSWORD}\0\r\n\r\n".encode(),
        f"GET /t/{PASSWORD}/x HTTP/9.9\r\nHost: x\r\n\r\n".encode(),
        b"\x16\x03\x01" + PASSWORD.encode() + b"\r\n\r\n",
        b"GET /x HTTP/1.1\r\nX: " + PASSWORD.encode() + b"a" * 70000 + b"\r\n\r\n",
        f"GET {PASSWORD} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ],
)
def test_what_makes_no_sense_is_repeated_nowhere(scene: Scene, head: bytes) -> None:
    before = scene.proxy.log.count(" bad_request ")
    received = scene.raw(head)
    assert PASSWORD.encode() not in received
    assert received.startswith(b"HTTP/1.0 400 Bad request")
    assert b"\r\nServer: pkgproxy\r\n" in received
    assert b"\r\nContent-Type: application/problem+json\r\n" in received
    eventually(lambda: scene.proxy.log.count(" bad_request ") > before, "it is in the log")
    assert PASSWORD not in scene.proxy.log
    scene.assert_log_is_lines()


# -- requests that are two -----------------------------------------------------------------

VICTIM = request("/files/tree/file")
SMUGGLED = "GET /files/tree/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def _post(*lines: str, body: str) -> bytes:
    head = ["POST /files/tree/file HTTP/1.1", "Host: cache.example.org", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body.encode("latin-1")


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Transfer-Encoding: xchunked"),
        ("Content-Length: 4", "Transfer-Encoding : chunked"),
        ("Content-Length: 4", "Transfer-Encoding: chunked", "Transfer-Encoding: x"),
        ("Content-Length: 4", "Transfer-Encoding:\x0bchunked"),
        ("Content-Length: 4", " Transfer-Encoding: chunked"),
        ("Content-Length: 4", "Transfer-Encoding", " : chunked"),
        ("Content-Length: 0", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 0"),
        ("Content-Length: 4, 0",),
        ("Content-Length: +4",),
        ("Content-Length: 0x4",),
        ("Content-Length: 4 4",),
        ("Content-Length: -1",),
        ("Content-Length: \u0664".encode().decode("latin-1"),),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: identity, chunked", "Content-Length: 4"),
    ],
)
def test_no_body_is_taken_for_a_request_of_its_own_where_lengths_disagree(
    scene: Scene, lines: tuple[str, ...]
) -> None:
    scene.upstream.asked.clear()
    smuggling = _post(*lines, body=f"0\r\n\r\n{SMUGGLED}")
    received = scene.half(smuggling, VICTIM)
    first = re.match(rb"HTTP/1\.1 (\d{3})", received)
    assert first is None or first[1] in (b"400", b"405", b"501"), received[:200]
    if first is not None and first[1] == b"400":
        assert count(received) == 1, "after a head that makes no sense nothing is read any more"
    # Whatever is left over is never the file that the next one asked for under another name.
    assert received.count(FILE) <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        f"{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
        f"0{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
    ],
)
def test_chunks_of_a_body_are_never_requests(scene: Scene, chunks: str) -> None:
    scene.upstream.asked.clear()
    received = scene.half(_post("Transfer-Encoding: chunked", body=chunks), VICTIM)
    assert "/a/b/tree/smuggled" not in [path for path, _ in scene.upstream.asked]
    assert 1 <= count(received) <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\n\r\n",
        "5\nhello\n0\n\n",
        "-1\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "ffffffffffffffffffff\r\nx\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_make_no_sense_end_the_connection(scene: Scene, chunks: str) -> None:
    scene.upstream.asked.clear()
    received = scene.half(_post("Transfer-Encoding: chunked", body=chunks + SMUGGLED), VICTIM)
    assert "/a/b/tree/smuggled" not in [path for path, _ in scene.upstream.asked]
    assert count(received) <= 2
    assert received.count(FILE) == 0, "nothing behind it is answered"


# -- what one client makes others get ------------------------------------------------------

POISON = [
    {"Host": "evil.example.org"},
    {"X-Forwarded-Host": "evil.example.org"},
    {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example.org:1"},
    {"X-Forwarded-Scheme": "http", "X-Forwarded-Server": "evil.example.org"},
    {"X-Host": "evil.example.org", "X-Original-Host": "evil.example.org"},
    {"Forwarded": "host=evil.example.org;proto=http"},
    {"X-Original-URL": "/files/tree/absent", "X-Rewrite-URL": "/files/tree/absent"},
    {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "PUT", "X-Method-Override": "POST"},
    {"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"},
    {"Range": "bytes=0-0"},
    {"If-Match": '"evil"'},
    {"If-None-Match": "*"},
    {"Accept": "application/evil, */*;q=0.1"},
    {"Accept-Encoding": "evil, gzip;q=0"},
    {"Accept-Language": "evil"},
    {"User-Agent": "evil <script>"},
    {"Cookie": "evil=1"},
    {"Authorization": "Basic ZXZpbDpldmls"},
    {"Referer": "http://evil.example.org/"},
    {"Origin": "http://evil.example.org"},
    {"Content-Length": "0"},
    {"Via": "1.1 evil"},
    {"Cache-Control": "no-store", "Pragma": "no-cache"},
    {"Connection": "close, ETag, Content-Type"},
]
MOVING = {"date", "age", "cache-status", "cache-control"}


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: next(iter(poison)))
def test_what_one_client_sends_changes_nothing_for_the_next(
    scene: Scene, poison: dict[str, str]
) -> None:
    name = hashlib.sha256(repr(poison).encode()).hexdigest()[:12]
    scene.upstream.says[f"/a/b/tree/{name}"] = Says(body=FILE, headers={"ETag": f'"{name}"'})
    scene.upstream.says[f"/simple/{name}/"] = page(
        name, listed(f"{name}-1.0-py3-none-any.whl", f"/files/{name}-1.0-py3-none-any.whl")
    )
    scene.upstream.says[f"/simple/{name}-clean/"] = page(
        f"{name}-clean", listed(f"{name}_clean-1.0.tar.gz", f"/files/{name}_clean-1.0.tar.gz")
    )
    scene.upstream.says[f"/a/b/tree/{name}-clean"] = scene.upstream.says[f"/a/b/tree/{name}"]
    for path, query in (
        (f"/files/tree/{name}", "?x=evil"),
        (f"/pypi/index/simple/{name}/", "?format=evil"),
        ("/pypi/index/simple/Demo", ""),
        ("/", ""),
    ):
        spoilt = [fetch(scene.proxy.url + path + extra, headers=poison) for extra in (query, "")]
        clean, again = scene.ask(path), scene.ask(path)
        assert b"evil" not in clean.body.lower()
        assert "evil" not in repr(clean.headers).lower()
        assert (clean.status, clean.body) == (again.status, again.body)
        if path.startswith("/files"):
            assert (clean.status, clean.body) == (200, FILE)
            other = scene.ask(f"{path}-clean")
            kept = {k: v for k, v in clean.headers.items() if k not in MOVING}
            assert kept == {k: v for k, v in other.headers.items() if k not in MOVING}
        assert len(spoilt) == 2
    for path, headers in scene.upstream.asked:
        assert "evil" not in path
        assert "evil" not in headers.get("host", "")
        assert "cookie" not in headers


def test_a_method_in_a_header_does_nothing(scene: Scene) -> None:
    for override in ("DELETE", "PUT", "PURGE", "POST"):
        reply = scene.ask("/files/tree/file", X_HTTP_Method_Override=override)
        assert (reply.status, reply.body) == (200, FILE)
    for method in ("DELETE", "PUT", "PURGE", "POST", "PATCH"):
        assert fetch(f"{scene.proxy.url}/files/tree/file", method=method).status == 405
    assert scene.ask("/files/tree/file").body == FILE


# -- where upstream would like to lead us --------------------------------------------------


def test_an_index_does_not_lead_the_proxy_inside(scene: Scene) -> None:
    scene.inside.asked.clear()
    inner = scene.inside.url("127.0.0.1")
    hosts = [inner, f"http://[::ffff:127.0.0.1]:{scene.inside.port}"]
    hosts += [f"http://127.1:{scene.inside.port}", f"http://2130706433:{scene.inside.port}"]
    hosts += ["http://169.254.169.254/latest", "file:///etc", "gopher://127.0.0.1:70"]
    for number, host in enumerate(hosts):
        name = f"inside{number}"
        filename = f"{name}-1.0-py3-none-any.whl"
        scene.upstream.says[f"/simple/{name}/"] = page(
            name, listed(filename, f"{host}/inner", INNER)
        )
        shown = scene.ask(f"/pypi/index/simple/{name}/", Accept=PAGE_TYPE)
        assert shown.status == 200
        files = json.loads(shown.body)["files"]
        for file in files:
            path = file["url"].removeprefix("../../")
            for ending in ("", ".metadata"):
                reply = scene.ask(f"/pypi/index/{path}{ending}")
                assert reply.status in (403, 404, 502), host
                assert INNER not in reply.body
    assert not scene.inside.asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_lead_the_proxy_inside(scene: Scene, status: int) -> None:
    scene.inside.asked.clear()
    for number, target in enumerate(
        (
            scene.inside.url("127.0.0.1"),
            f"//127.0.0.1:{scene.inside.port}",
            f"http://localhost@127.0.0.1:{scene.inside.port}",
            f"http://127.0.0.1:{scene.inside.port}#@localhost",
            f"\thttp://127.0.0.1:{scene.inside.port}",
        )
    ):
        name = f"leads-{status}-{number}"
        where = Says(status=status, headers={"Location": f"{target}/inner"})
        scene.upstream.says[f"/a/b/tree/{name}"] = where
        reply = scene.ask(f"/files/tree/{name}")
        assert reply.status in (404, 502), target
        assert INNER not in reply.body
        assert "location" not in reply.headers
    assert not scene.inside.asked


def test_a_redirect_does_not_carry_our_credentials_elsewhere(scene: Scene) -> None:
    """The other host may be contacted: the operator allows it. It is still another one."""
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    scene.inside.asked.clear()
    scene.upstream.says["/guarded/away"] = Says(
        status=302, headers={"Location": f"{scene.inside.url('127.0.0.1')}/inner"}
    )
    reply = scene.ask("/files/guarded/away", Authorization="Bearer clients-own", Cookie="a=b")
    assert (reply.status, reply.body) == (200, INNER)
    sent = dict(scene.upstream.asked)["/guarded/away"]
    assert sent["authorization"] == expected
    ((_, received),) = scene.inside.asked
    for name in ("authorization", "cookie", "x-api-key", "referer", "proxy-authorization"):
        assert name not in received
    assert PASSWORD not in repr(received)
    assert PASSWORD not in scene.proxy.log


def test_upstreams_headers_are_passed_on_only_where_they_are_ours_to_pass(scene: Scene) -> None:
    scene.upstream.says["/a/b/tree/chatty"] = Says(
        body=FILE,
        headers={
            "Set-Cookie": "session=evil",
            "Access-Control-Allow-Origin": "*",
            "Link": "</evil>; rel=preload",
            "Refresh": "0; url=http://evil.example.org",
            "Strict-Transport-Security": "max-age=1",
            "WWW-Authenticate": "Basic",
            "Content-Location": "/evil",
            "Alt-Svc": 'h2="evil.example.org:443"',
            "Cache-Status": "evil; hit",
            "Server": "evil",
        },
    )
    for _ in range(2):
        reply = scene.ask("/files/tree/chatty")
        assert reply.status == 200
        assert "evil" not in repr(reply.headers)
        for name in ("set-cookie", "link", "refresh", "www-authenticate", "alt-svc"):
            assert name not in reply.headers


# -- the cache folder ----------------------------------------------------------------------


def test_a_link_in_the_cache_folder_shows_nothing_of_the_machine(scene: Scene) -> None:
    body = b"stored once " * 20000
    scene.upstream.says["/a/b/tree/linked"] = Says(body=body, headers={"ETag": '"l"'})
    assert scene.ask("/files/tree/linked").body == body
    digest = hashlib.sha256(body).hexdigest()
    blob = scene.proxy.folder / "cache" / "sha256" / digest[:2] / digest
    assert blob.is_file()
    aside = scene.folder / "aside"
    shutil.move(blob, aside)
    secret = scene.folder / "long-secret"
    secret.write_bytes(SECRET * (len(body) // len(SECRET) + 1))
    os.truncate(secret, len(body))
    blob.symlink_to(secret)
    try:
        reply = scene.ask("/files/tree/linked", Range="bytes=0-99")
        assert SECRET not in reply.body
        assert SECRET not in scene.ask("/files/tree/linked").body
    finally:
        blob.unlink(missing_ok=True)
    assert secret.exists()


# -- pages ---------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def assert_no_script(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert "a" in tags.names, "it is a page"
    assert not tags.names & {"script", "img", "iframe", "svg", "object", "embed", "form", "base"}
    assert not [name for name in tags.attributes if name.startswith("on")]


SCRIPT = '"><script>alert(1)</script>'


def test_the_front_page_is_not_written_by_who_asks_for_it(scene: Scene) -> None:
    for host in ("x%22%3E%3Cscript%3E", "x'onload=alert(1)", 'x"onload="alert(1)', "x<script>"):
        received = scene.raw(request("/", host=host))
        body = received.partition(b"\r\n\r\n")[2]
        assert b"<script" not in body
        assert_no_script(body.decode())
    head = scene.ask("/")
    assert head.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in head.headers["content-security-policy"]
    assert head.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/%3Cscript%3Ealert(1)%3C/script%3E/x",
        "/files/%3Cscript%3E/x",
        "/pypi/index/simple/%3Cscript%3E/",
        "/files/tree/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/api/v1/policy/explain?mirror=%3Cscript%3E&package=%3Cscript%3E",
    ],
)
def test_no_error_is_a_page(scene: Scene, path: str) -> None:
    reply = scene.ask(path, Accept="text/html")
    assert reply.status in (400, 404)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_project_page_is_not_written_by_upstream(scene: Scene) -> None:
    evil = listed("evil-1.0.tar.gz", "https://files.example.org/evil-1.0.tar.gz")
    evil |= {"requires-python": SCRIPT, "yanked": SCRIPT, "gpg-sig": True}
    named = listed(f"evil-1.0{SCRIPT}.tar.gz", f"https://files.example.org/{SCRIPT}")
    scene.upstream.says["/simple/evil/"] = page("evil", evil, named)
    reply = scene.ask("/pypi/index/simple/evil/", Accept="text/html")
    assert reply.status == 200
    assert_no_script(reply.body.decode())
    assert b"&lt;script" in reply.body


# -- what is for nobody ----------------------------------------------------------------------


@pytest.mark.parametrize("line", ["OPTIONS *", "CONNECT inside.example.org:443", "POST /"])
def test_a_target_that_is_no_path_is_answered_in_our_words(scene: Scene, line: str) -> None:
    received = scene.raw(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert received.startswith((b"HTTP/1.1 404 No such path", b"HTTP/1.1 405 Method not allowed"))
    assert b"\r\nServer: pkgproxy\r\n" in received
    assert b"aiohttp" not in received


def test_what_a_client_sends_along_is_not_unpacked(scene: Scene) -> None:
    """Neither a bomb nor what only says that it is packed costs anything, or is told as wrong."""
    bomb = gzip.compress(bytes(64 << 20))
    for body in (bomb, b"no gzip at all"):
        lines = ("Content-Encoding: gzip", f"Content-Length: {len(body)}")
        before = scene.proxy.rss()
        received = scene.raw(request("/files/tree/file", *lines) + body)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert scene.proxy.rss() - before < 32 << 20
    chunked = ("Content-Encoding: gzip", "Transfer-Encoding: chunked")
    scene.raw(request("/files/tree/file", *chunked) + b"5\r\nabcde\r\n0\r\n\r\n")
    told = scene.proxy.log.count(" bad_request ")
    scene.raw(b"no request at all\r\n\r\n")
    eventually(lambda: scene.proxy.log.count(" bad_request ") > told, "the log has come so far")
    assert " library " not in scene.proxy.log
