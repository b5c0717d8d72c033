"""A page, parsed: what a test may ask of every page, and a few things to look up in one."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

Attributes = dict[str, str]

_EMPTY = {"meta", "link", "input", "br", "path", "circle"}


class Page(HTMLParser):
    """The elements of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Attributes]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"option", "li"} and self._open[-1] != tag:
            return
        assert self._open.pop() == tag, f"</{tag}> is not where it belongs"

    def handle_data(self, data: str) -> None:
        if "script" not in self._open[-1:]:
            self.texts.append(data)
        else:
            assert not data.strip(), "a script stands within the page"

    @property
    def text(self) -> str:
        """All that is read, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[Attributes]:
        """The attributes of each element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        """Where it leads, within the administration."""
        found = [one["href"] for tag in ("a", "link") for one in self.all(tag)]
        found += [one["src"] for one in self.all("script")]
        return [link for link in found if link.startswith(("/", "?"))]

    def check(self) -> None:
        """What holds for every page."""
        assert self.all("html")[0]["lang"] == "en"
        assert len(self.all("h1")) == 1
        assert len(self.all("main")) == 1
        assert self.all("title")
        self._check_nothing_inline()
        self._check_ids()
        self._check_labels()
        levels = [int(tag[1]) for tag, _ in self.elements if tag in ("h1", "h2", "h3", "h4")]
        for before, after in pairwise(levels):
            assert after <= before + 1, "a heading skips a level"

    def _check_nothing_inline(self) -> None:
        for tag, attributes in self.elements:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert not attributes.get("href", "").lower().startswith("javascript:")
            if tag in ("script", "link", "img", "form"):
                where = next(
                    attributes[name] for name in ("src", "href", "action") if name in attributes
                )
                assert where.startswith("/"), f"{where} is elsewhere"

    def _check_ids(self) -> None:
        ids = Counter(one["id"] for _, one in self.elements if "id" in one)
        assert all(number == 1 for number in ids.values()), ids
        for _, attributes in self.elements:
            for name in ("aria-labelledby", "for"):
                assert attributes.get(name) in (None, *ids)
            if attributes.get("href", "").startswith("#"):
                assert attributes["href"][1:] in ids

    def _check_labels(self) -> None:
        """Every control stands within a label, or has one that names it."""
        named = {one["for"] for one in self.all("label") if "for" in one}
        inside = 0
        for tag, attributes in self.elements:
            if tag == "label":
                inside = 0 if "for" in attributes else 1
            elif tag in ("input", "select", "textarea") and attributes.get("type") != "hidden":
                assert inside or attributes.get("id") in named or "aria-label" in attributes
