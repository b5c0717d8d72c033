"""Why a package can or cannot be had, by HTTP: what `pkgproxy policy explain` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from proxy.errors import ProxyError, RequestError, UnknownMirror
from proxy.gateway.explaining import Compared, Question, as_row
from proxy.web.access import Access
from proxy.web.errors import refusal
from proxy.web.paths import Mirrors

PATH = "/api/v1/policy/explain"

Ask = Callable[[Question], Awaitable[list[Compared]]]


class Verdicts:
    """The handler of `path`."""

    path = PATH

    def __init__(self, mirrors: Callable[[], Mirrors], ask: Ask, access: Access) -> None:
        self._mirrors = mirrors
        self._ask = ask
        self._access = access

    async def explain(self, request: web.Request) -> web.Response:
        """Each file of `?mirror=<type>/<name>&package=<name>` with its verdict."""
        try:
            body = await self._explained(request)
        except ProxyError as error:
            return refusal(error)
        return web.Response(
            body=body,
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
        )

    async def _explained(self, request: web.Request) -> bytes:
        name, package = request.query.get("mirror", ""), request.query.get("package", "")
        if not name or not package:
            raise RequestError(f"write {PATH}?mirror=<type>/<name>&package=<name>")
        visible = self._access.visible(self._mirrors(), request)
        mirror = next((one for one in visible if one.key == name), None)
        if mirror is None:
            raise UnknownMirror(f"there is no mirror {name!r}; write it as <type>/<name>")
        policy = mirror.policy
        question = Question(mirror=mirror, policies=(policy,), package=package)
        found = await self._ask(question)
        return msgspec.json.encode(
            {
                "mirror": mirror.key,
                "package": package,
                "policy": None if policy is None else policy.name,
                "files": [as_row(one) for one in found],
            }
        )
