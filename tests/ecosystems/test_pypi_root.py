"""The list of all projects, in both forms from both, in pieces."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape

import pytest
from hypothesis import given
from packaging.utils import canonicalize_name

from proxy.core.model import Index
from proxy.core.policy import All, Names, Not, Policy, Yanked
from proxy.ecosystems.base import Body, Context
from proxy.errors import BadIndex
from tests.ecosystems.policies import MOMENT, deny, policy, random_policies
from tests.ecosystems.pypi_pages import JSON, MIRROR, PYPI, anchor, anchors, body_of, render

ROOT_URL = "https://index.example.org/simple/"


def _root() -> Index:
    found = PYPI.classify(MIRROR, "simple/")
    assert isinstance(found, Index)
    return found


def _views(
    content: object, url: str = ROOT_URL, media_type: str | None = None
) -> tuple[list[str], list[tuple[str, str]]]:
    """The names in the JSON that is made, and links and names in the HTML."""
    body = body_of(content, url=url, media_type=media_type)
    made = render(_root(), body, "json")["json"], render(_root(), body, "html")["html"]
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', made[1].decode())
    names = [project["name"] for project in json.loads(made[0])["projects"]]
    return names, [(link, unescape(name)) for link, name in links]


def test_json_passes_byte_for_byte_with_keys_that_nobody_knows_yet() -> None:
    raw = b'{"x": [null], "projects": [{"name": "A.b", "_last-serial": 1}],  "meta": {"y": 1}}'
    assert render(_root(), body_of(raw), "json") == {"json": raw}


def test_links_are_normalised_and_names_shown_as_they_were() -> None:
    names, links = _views({"projects": [{"name": "Foo.Bar_x"}, {"name": "zope"}]})
    assert names == ["Foo.Bar_x", "zope"]
    assert links == [("foo-bar-x/", "Foo.Bar_x"), ("zope/", "zope")]


def test_names_that_could_not_be_asked_for_have_no_link() -> None:
    projects = [{"name": name} for name in ("<script>", "../up", "", "a b", "ok")]
    assert _views({"projects": projects})[1] == [("ok/", "ok")]


@pytest.mark.parametrize(
    ("href", "text", "name"),
    [
        ("foo-bar/", "Foo.Bar", "Foo.Bar"),
        ("./foo/", "foo", "foo"),
        ("foo", "foo", "foo"),
        ("/simple/foo/", "Foo", "Foo"),
        ("https://index.example.org/simple/foo/", "Foo", "Foo"),
        ("../simple/foo/", "Foo", "Foo"),
        ("foo/", "something else", "foo"),
        ("foo/", "", "foo"),
        ("../", "..", None),
        ("/simple/", "Simple", None),
        ("/other/foo/", "foo", None),
        ("//h.example.org/simple/foo/", "foo", None),
        ("https://h.example.org/simple/foo/", "foo", None),
        ("foo/bar/", "bar", None),
        ("?C=M", "Modified", None),
        ("#a", "a", None),
        ("", "x", None),
        ("mailto:x", "x", None),
        ("-bad-/", "-bad-", None),
        ("https://[bad/../", "bad", None),
    ],
)
def test_from_html_only_folders_below_the_page_are_projects(
    href: str, text: str, name: str | None
) -> None:
    names, links = _views(anchors(anchor(href, text), anchor("last/", "last")))
    assert names == ([] if name is None else [name]) + ["last"]
    assert [link for _, link in links] == names


@pytest.mark.parametrize(
    ("base", "found"),
    [
        ("https://h.example.org/simple/", []),
        ("https://index.example.org/simple/index.html", ["foo"]),
        ("/simple/", ["foo"]),
        ("https://h.example.org/", []),
        ("https://[bad/", ["foo"]),
    ],
)
def test_a_base_element_moves_the_links(base: str, found: list[str]) -> None:
    for href in ("foo/", "./foo/"):
        page = anchors(anchor(href, "foo"), head=f'<base href="{base}">')
        assert _views(page)[0] == found


@pytest.mark.parametrize("host", ["index", "h"])
def test_a_base_element_on_another_host_moves_links_that_begin_with_a_slash(host: str) -> None:
    head = f'<base href="https://{host}.example.org/x/">'
    page = anchors(anchor("/simple/foo/", "foo"), head=head)
    assert _views(page)[0] == (["foo"] if host == "index" else [])


def test_no_projects_make_empty_lists() -> None:
    assert _views(anchors()) == ([], [])
    assert _views({"projects": []}) == ([], [])


def test_our_own_list_reads_as_the_same_names() -> None:
    projects = [{"name": name} for name in ("Foo.Bar", "a", "Zope_x")]
    made = render(_root(), body_of({"projects": projects}), "html")["html"]
    assert _views(made, media_type="text/html")[0] == ["Foo.Bar", "a", "Zope_x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"files": []}, "projects"),
        ({"projects": {}}, "projects"),
        ({"projects": [{"name": 1}]}, "name"),
        ({"projects": [{}]}, "name"),
        ({"projects": [], "meta": {"api-version": "2.0"}}, "version 2.0"),
        ({"projects": [], "meta": []}, "'meta' is a list"),
        (b'{"projects": [', "not the JSON"),
        (b'{"projects": [{"name": "\xff"}]}', "not the JSON"),
        (b'{"x": ' + b"[" * 100_000, "nested|not the JSON"),
        (b"", "empty"),
        (b"\x00", "neither"),
        ("<html><a href=foo", "cut short"),
        (b"<html>\xff", "UTF-8"),
        (anchors(head='<meta name="pypi:repository-version" content="2.0">'), "version 2.0"),
    ],
)
def test_a_body_that_is_no_list_is_refused(content: object, message: str) -> None:
    for form in ("json", "html"):
        with pytest.raises(BadIndex, match=message):
            render(_root(), body_of(content, url=ROOT_URL), form)


COUNT = 50_000


def _many_names() -> Iterator[str]:
    return (f"Project.{number:05}_x" for number in range(COUNT))


def _as_json() -> bytes:
    return json.dumps({"projects": [{"name": name} for name in _many_names()]}).encode()


def _as_html() -> bytes:
    links = (anchor(f"/simple/{name.lower()}/", escape(name)) for name in _many_names())
    return anchors(*links).encode()


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("content", [_as_json, _as_html])
def test_a_long_list_is_made_in_pieces_that_are_not_held_together(
    content: type[bytes], form: str
) -> None:
    raw = content()
    body = Body(content=memoryview(raw), source="", media_type=JSON, url=ROOT_URL)
    tracemalloc.start()
    largest = total = 0
    for view in PYPI.render(_root(), body, Context(mirror=MIRROR), frozenset({form})):
        for chunk in view.chunks:
            largest = max(largest, len(chunk))
            total += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > COUNT * 20
    assert largest <= 2 << 20
    assert peak < 3 * len(raw) + (4 << 20)  # the names or the text, once, and a piece


def test_a_long_list_is_whole() -> None:
    for raw in (_as_json(), _as_html()):
        names, links = _views(raw)
        assert names == list(_many_names())
        assert len(links) == COUNT


# -- under a policy ----------------------------------------------------------------------


_NAMED = ["sample", "other", "Foo.Bar_x", "p-1"]


def _listed(rules: Policy, content: bytes, form: str) -> bytes:
    context = replace(Context(mirror=MIRROR), policy=rules, moment=MOMENT)
    (made,) = PYPI.render(_root(), body_of(content, url=ROOT_URL), context, frozenset({form}))
    return b"".join(made.chunks)


def test_projects_that_are_hidden_by_name_are_not_listed() -> None:
    rules = policy(deny(All((Names(("foo_*", "p-*")), Not(Names(("p-2",)))))), deny(Yanked()))
    raw = (
        b'{"x": [1.50], "projects": [{"name": "Foo.Bar_x"}, {"name": "p-2", "y":  1},{"name":"q"}'
        b', {"name": "p-1"}], "meta": {}}'
    )
    assert _listed(rules, raw, "json") == (
        b'{"x":[1.50],"projects":[{"name": "p-2", "y":  1},{"name":"q"}],"meta":{}}'
    )
    assert re.findall(rb'href="(.*?)"', _listed(rules, raw, "html")) == [b"p-2/", b"q/"]


@given(random_policies(["sample", "foo-*", "p-?"], ["sample", "sample<2", "other>=1"], Yanked()))
def test_a_project_that_is_not_listed_has_no_file_that_may_be_had(rules: Policy) -> None:
    raw = json.dumps({"projects": [{"name": name} for name in _NAMED]}).encode()
    made = _listed(rules, raw, "json")
    shown = {one["name"] for one in json.loads(made)["projects"]}
    assert _listed(rules, made, "json") == made
    html = _listed(rules, raw, "html").decode()
    assert set(re.findall(">([^<>]+)</a>", html)) == shown
    context = replace(Context(mirror=MIRROR), policy=rules, moment=MOMENT)
    for name in set(_NAMED) - shown:
        project = canonicalize_name(name)
        page = PYPI.classify(MIRROR, f"simple/{project}/")
        assert isinstance(page, Index)
        stem = project.replace("-", "_")
        files = [
            {
                "filename": f"{stem}-{version}-py3-none-any.whl",
                "url": f"https://files.example.org/{version}",
                "hashes": {"sha256": "1" * 64},
                "size": size,
                "yanked": size > 1000,
            }
            for version, size in (("1.0", 10), ("2.0", 1500), ("3.0", 3000))
        ]
        content = {"meta": {"api-version": "1.1"}, "name": project, "files": files}
        assert all(one.verdict.hides for one in PYPI.judged(page, body_of(content), context))
