"""The administration as one application: guarded, described, with problems told in kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from proxy.errors import ProxyError
from proxy.observe.happenings import Happenings
from proxy.upstream.served import ADMINISTRATION
from proxy.web.admin.api import Api, Handler, as_response, refusal, unrouted
from proxy.web.admin.guard import Guard, NoToken
from proxy.web.admin.operations import Operation
from proxy.web.admin.shell import Shell
from proxy.web.errors import Problem

Crashed = Callable[[str, Exception], None]
"""Hears of a request (its path) that met an error which nobody foresaw."""

_OPEN = ("/login", "/static/")
"""What is to be had without a token."""

LARGEST = 32 << 20
"""Bytes of a body: several times the largest locks of real projects."""

_HEADERS = {
    "Server": ADMINISTRATION,
    # Nothing from elsewhere, nothing within the page, no frame around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def application(
    *,
    guard: Guard,
    operations: Sequence[Operation],
    pages: Sequence[web.AbstractRouteDef],
    shell: Shell,
    happenings: Happenings,
    crashed: Crashed,
) -> web.Application:
    """Everything put together; it lets streams end when it is shut down."""

    async def end_streams(_: web.Application) -> None:
        happenings.close()

    made = web.Application(
        middlewares=[_telling(shell, crashed), _guarding(guard)], client_max_size=LARGEST
    )
    made.router.add_routes(Api(operations).routes())
    made.router.add_routes(pages)
    made.on_response_prepare.append(_headed)
    made.on_shutdown.append(end_streams)
    return made


def _telling(shell: Shell, crashed: Crashed) -> Middleware:
    """Problems: as JSON for programs, as a page for people."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except NoToken as error:
            if _is_for_programs(request):
                return as_response(refusal(error))
            onward = quote(request.path_qs, safe="/")
            return web.Response(status=303, headers={"Location": f"/login?next={onward}"})
        except ProxyError as error:
            told = refusal(error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            told = unrouted(error, request.path)
        except Exception as error:  # noqa: BLE001 - the supervisor of this request
            crashed(request.path, error)
            title = "Internal error"
            told = Problem(status=500, title=title, detail="The log says more.", reason=title)
        return as_response(told) if _is_for_programs(request) else shell.problem(told)

    return tell


def _guarding(guard: Guard) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        is_local = transport is not None and isinstance(transport.get_extra_info("sockname"), str)
        guard.check_origin(request.method, request.headers, is_local=is_local)
        if not request.path.startswith(_OPEN):
            guard.check_token(request.headers, request.cookies, request.remote or "")
        return await handler(request)

    return check


async def _headed(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    if not request.path.startswith("/static/"):
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def _is_for_programs(request: web.Request) -> bool:
    return request.path.startswith("/api/")
