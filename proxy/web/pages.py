"""The pages beside the mirrors: what is served (for people and programs), health, metrics."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.core.model import Mirror
from proxy.core.negotiation import choose
from proxy.core.tokens import Action
from proxy.core.urls import redacted
from proxy.errors import ProxyError
from proxy.upstream.circuits import Trouble
from proxy.web.access import Access
from proxy.web.errors import refusal
from proxy.web.paths import Mirrors
from proxy.web.setup import commands

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #ddd; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
"""


_HEADERS = {
    # What is listed differs from visitor to visitor, and links begin with the host they named.
    "Cache-Control": "no-store",
    # The page is a table: nothing in it runs, loads or is framed.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Handlers for `/`, `/healthz`, `/readyz`, `/upstreams` and `/metrics`."""

    def __init__(
        self,
        mirrors: Callable[[], Mirrors],
        exposition: Callable[[], bytes],
        ready: Callable[[], bool],
        troubles: Callable[[], Iterable[Trouble]],
        access: Access,
    ) -> None:
        self._mirrors = mirrors
        self._exposition = exposition
        self._ready = ready
        self._troubles = troubles
        self._access = access

    async def front(self, request: web.Request) -> web.Response:
        """What is served here that the visitor may see, as HTML or JSON."""
        try:
            mirrors = list(self._access.visible(self._mirrors(), request))
        except ProxyError as error:
            return refusal(error)
        accept = request.headers.get("Accept")
        kind = choose(accept, ("text/html", "application/json"))
        base = f"{request.scheme}://{request.host}"
        if kind == "application/json":
            listing = {"version": __version__, "mirrors": [_row(m, base) for m in mirrors]}
            return web.Response(
                body=msgspec.json.encode(listing), content_type=kind, headers=_HEADERS
            )
        page = _page(mirrors, base)
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=_HEADERS)

    async def healthz(self, request: web.Request) -> web.Response:
        """The process runs and its event loop turns."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Requests should be sent here; 503 while starting and while draining."""
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready\n", headers={"Retry-After": "1"})

    async def upstreams(self, request: web.Request) -> web.Response:
        """The hosts that have failed of late, as all workers know them."""
        try:
            self._access.check(Action.METRICS, request)
        except ProxyError as error:
            return refusal(error)
        hosts = [
            {
                "host": one.host,
                "state": one.state.value,
                "failures": one.failures,
                "wait": one.wait,
                "left_alone_by": one.left_alone_by,
            }
            for one in self._troubles()
        ]
        body = msgspec.json.encode({"troubled": hosts})
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """All worker processes' metrics in Prometheus' text format; they name every mirror."""
        try:
            self._access.check(Action.METRICS, request)
        except ProxyError as error:
            return refusal(error)
        return web.Response(
            body=self._exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _row(mirror: Mirror, base: str) -> dict[str, str]:
    return {
        "type": mirror.type,
        "name": mirror.name,
        "mode": mirror.mode.value,
        "source": redacted(mirror.source),
        "url": _url(mirror, base),
    }


def _url(mirror: Mirror, base: str) -> str:
    """What a client is given."""
    return f"{base}/{mirror.key}/" + ("simple/" if mirror.type == "pypi" else "")


def _page(mirrors: list[Mirror], base: str) -> str:
    rows = "".join(
        "<tr>"
        f"<td>{html.escape(mirror.type)}</td>"
        f"<td>{html.escape(mirror.name)}</td>"
        f'<td><a href="{html.escape(_url(mirror, base))}">'
        f"{html.escape(_url(mirror, base))}</a></td>"
        f"<td>{html.escape(redacted(mirror.source))}</td>"
        "</tr>\n"
        for mirror in mirrors
    )
    lines = "\n".join(commands(mirrors, base))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>pkgproxy</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>pkgproxy {__version__}</h1>\n"
        "<p>A caching proxy for packages. Point your tools here:</p>\n"
        f"<pre>{html.escape(lines)}</pre>\n"
        "<table><thead><tr><th>Type</th><th>Mirror</th><th>Address</th><th>Source</th></tr></thead>"
        f"<tbody>\n{rows}</tbody></table>\n"
        '<p><a href="/metrics">Metrics</a></p>\n</body></html>\n'
    )
