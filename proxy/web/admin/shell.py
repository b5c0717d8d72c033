"""What all pages have in common: templates, their filters, the menu, and how problems look.

Every value that a template prints is escaped. The pages say nothing that the API does not say, and
are useful without a script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from proxy import __version__
from proxy.web.admin import wording
from proxy.web.admin.guard import Guard
from proxy.web.errors import Problem

SORTS = {"refusal": "refused", "integrity": "wrong body", "upstream": "upstream failed"}
"""What happened, in words."""

_STATES = {"well": "well", "unwell": "failing at times", "away": "away", "unknown": "not asked"}
_TEMPLATES = Path(__file__).parent / "templates"
_PAGES = (
    ("/", "Overview"),
    ("/mirrors", "Mirrors"),
    ("/policies", "Policies"),
    ("/events", "Events"),
    ("/setup", "Set me up"),
)


class Shell:
    """Renders templates, with what every page needs."""

    def __init__(self, guard: Guard, *, has_mirrors: bool) -> None:
        """*has_mirrors*: whether there are pages of mirrors."""
        self._guard = guard
        pages = _PAGES if has_mirrors else tuple(it for it in _PAGES if it[0] != "/mirrors")
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._environment.filters |= {
            name: getattr(wording, name)
            for name in ("size", "speed", "count", "share", "duration", "clock", "iso")
        }
        self._environment.filters |= {"segment": _segment, "prose": _prose}
        self._environment.globals |= {
            "sorts": SORTS,
            "states": _STATES,
            "has_mirrors": has_mirrors,
            "pages": pages,
        }

    def page(
        self, template: str, here: str, *, code: int = 200, is_in: bool = True, **values: Any
    ) -> web.Response:
        """The page that *template* makes of *values*; *here* is its place in the menu."""
        text = self._environment.get_template(template).render(
            version=__version__,
            here=here,
            is_in=is_in,
            asks=self._guard.asks,
            word=self._guard.word,
            said=values.pop("said", ""),
            **values,
        )
        return web.Response(text=text, status=code, content_type="text/html", charset="utf-8")

    def problem(self, told: Problem) -> web.Response:
        """A page that says what went wrong."""
        response = self.page("problem.html", "", code=told.status, problem=told)
        response.headers.update(told.headers)
        return response


def _segment(key: str) -> str:
    """A mirror's key as one segment of a path."""
    return quote(key, safe="")


def _prose(text: str) -> Markup:
    """*text*, escaped, with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    marked = (
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )
    return Markup("").join(marked)
