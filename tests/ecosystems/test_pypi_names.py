"""A file's project is told by its name, as far as that can be, and by the path beyond that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ecosystems.pypi import links, names
from proxy.ecosystems.pypi.links import resolved
from tests.ecosystems.pypi_pages import HEX, SHAPED


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        ("foo-1.0-py3-none-any.whl", "foo"),
        ("Foo.Bar_Baz-1.0-1-cp311-cp311-win32.whl", "foo-bar-baz"),
        ("foo-1.0+cu118-py3-none-any.whl", "foo"),
        ("foo-1.0.tar.gz", "foo"),
        ("foo-bar-1.0.tar.gz", "foo-bar"),
        ("foo_bar-1.0.zip", "foo-bar"),
        ("foo-2-1.0.tar.gz", "foo-2"),
        ("foo-1.0-1.tar.gz", "foo"),
        ("foo-1.0-beta.tar.gz", "foo"),
        ("foo-bar-1.0-rc-2.tar.gz", "foo-bar"),
        ("foo-1.0.dev-r1234.tar.gz", "foo"),
        ("foo-v1.0.tar.gz", "foo"),
        ("foo-1.0-2.0.tar.gz", "foo-1-0"),
        ("zope.interface-5.0.tar.bz2", "zope-interface"),
        ("foo-1.0-py2.7.egg", "foo"),
        ("foo_bar-1.0-py2.7-linux-x86_64.egg", "foo-bar"),
        ("foo-bar-1.0.win32-py2.7.exe", "foo-bar"),
        ("foo-1.0.linux-x86_64.tar.gz", "foo"),
        ("foo-1.0-1.noarch.rpm", "foo"),
        ("foo-latest.tar.gz", "foo"),
        ("foo.zip", "foo"),
        ("foo-1.0-variants.json", "foo"),
        ("-1.0.tar.gz", None),
        ("+.whl", None),
        ("", None),
    ],
)
def test_the_project_is_read_from_the_file_name(filename: str, project: str | None) -> None:
    assert names.project_of(filename) == project


@given(st.text(max_size=60))
def test_any_text_has_a_project_or_none(text: str) -> None:
    for ending in ("", ".whl", ".tar.gz", ".egg"):
        found = names.project_of(text + ending)
        assert found is None or names.normalised(found) == found


def test_a_version_of_thousands_of_digits_is_no_version() -> None:
    assert names.version_of(f"foo-{'9' * 5000}.tar.gz") is None
    assert names.project_of(f"foo-{'9' * 5000}.tar.gz") == "foo"


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("Foo", "foo"),
        ("foo._-bar", "foo-bar"),
        ("A", "a"),
        ("-foo", None),
        ("foo-", None),
        ("", None),
        ("foo bar", None),
        ("föö", None),
        ("..", None),
    ],
)
def test_names_are_normalised_as_pep_503_says(spelt: str, name: str | None) -> None:
    assert names.normalised(spelt) == name


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [
        ("a-1-py3-none-any.whl", "application/zip"),
        ("a-1.tar.gz", "application/gzip"),
        ("a-1.TAR.BZ2", "application/x-bzip2"),
        ("a-1-py3-none-any.whl.metadata", "text/plain; charset=utf-8"),
        ("a-1.tar.gz.asc", "application/pgp-signature"),
        ("a-1-variants.json", "application/octet-stream"),
    ],
)
def test_files_have_their_media_type(filename: str, media_type: str) -> None:
    assert names.media_type(filename) == media_type


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("https://f.example.org/a/b.whl", "https://f.example.org/a/b.whl"),
        ("HTTPS://F.example.org/a/b.whl", "https://F.example.org/a/b.whl"),
        ("../../p/b.whl", "https://index.example.org/p/b.whl"),
        ("b.whl", "https://index.example.org/simple/foo/b.whl"),
        ("/p/b.whl?sig=1#x", "https://index.example.org/p/b.whl?sig=1"),
        ("//f.example.org:8443/b.whl", "https://f.example.org:8443/b.whl"),
        ("  b.whl\n", "https://index.example.org/simple/foo/b.whl"),
        ("a b.whl", "https://index.example.org/simple/foo/a%20b.whl"),
        ("a+b%2Bc.whl", "https://index.example.org/simple/foo/a+b%2Bc.whl"),
        ("https://[2001:db8::1]/b.whl", "https://[2001:db8::1]/b.whl"),
        ("ftp://f.example.org/b.whl", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("mailto:someone@example.org", None),
        ("https://[bad/b.whl", None),
        ("https://f.example.org:port/b.whl", None),
        ("https://user@/b.whl", None),
    ],
)
def test_references_resolve_to_addresses_that_can_be_fetched(
    reference: str, url: str | None
) -> None:
    link = resolved(reference, "https://index.example.org/simple/foo/")
    assert (None if link is None else link.url) == url


@given(st.text())
def test_no_reference_makes_resolving_raise(reference: str) -> None:
    for text in (reference, f"https://{reference}", f"//{reference}"):
        resolved(text, "https://index.example.org/simple/foo/")


def test_a_companion_belongs_to_the_path_and_not_to_the_query() -> None:
    link = resolved("a.whl?sig=1", "https://index.example.org/")
    assert link is not None
    assert link.beside(".metadata") == "https://index.example.org/a.whl.metadata?sig=1"


def test_an_upstream_path_of_that_shape_keeps_its_digits() -> None:
    link = resolved(f"https://f.example.org/x/{SHAPED}/foo-1.0.tar.gz", "")
    assert link is not None
    hashes = {"sha256": "9" * 64}
    assert links.served(link, "foo-1.0.tar.gz", hashes, "foo") == f"{SHAPED}/foo-1.0.tar.gz"


def test_other_paths_get_the_digits_of_the_sha256() -> None:
    link = resolved("https://f.example.org/foo-1.0.tar.gz", "")
    assert link is not None
    path = links.served(link, "foo-1.0.tar.gz", {"sha256": HEX.upper()}, "foo")
    assert path == f"{SHAPED}/foo-1.0.tar.gz"


def test_without_a_sha256_the_address_decides_and_a_signature_in_it_does_not() -> None:
    paths = {
        links.served(link, "foo-1.0.tar.gz", {"md5": "0" * 32}, "foo")
        for link in (
            resolved("https://f.example.org/foo-1.0.tar.gz?sig=1", ""),
            resolved("https://f.example.org/foo-1.0.tar.gz?sig=2", ""),
        )
        if link is not None
    }
    assert len(paths) == 1
    assert links.place(paths.pop()) is not None


def test_a_name_that_misleads_has_its_project_in_the_path() -> None:
    link = resolved(f"https://f.example.org/{SHAPED}/foo-2-1.tar.gz", "")
    assert link is not None
    path = links.served(link, "foo-2-1.tar.gz", {}, "foo")
    assert path == f"packages/foo/{SHAPED.removeprefix('packages/')}/foo-2-1.tar.gz"
    assert links.place(path) == links.Place("foo", "foo-2-1.tar.gz")
