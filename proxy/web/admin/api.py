"""The administration over HTTP: operations as routes, problems as `application/problem+json`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec
from aiohttp import hdrs, web

from proxy import errors
from proxy.errors import ProxyError
from proxy.storage.token_file import UnknownToken
from proxy.web.admin.guard import NotForYou, NoToken
from proxy.web.admin.openapi import description
from proxy.web.admin.operations import ROOT, Call, Nothing, Operation, body_of, query_of
from proxy.web.admin.policies import UnknownPolicy
from proxy.web.errors import Problem, problem

DESCRIPTION = f"{ROOT}/openapi.json"
"""Where the description is to be had."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON = "application/json"
_OURS: tuple[tuple[type[ProxyError], int, str], ...] = (
    (NoToken, 401, "A token is asked for"),
    (NotForYou, 403, "Not from here"),
    # Here it is the caller's to mend: a value, a policy or a mirror that was sent is wrong.
    (errors.ConfigError, 422, "A value is wrong"),
    (UnknownToken, 404, "No such token"),
    (UnknownPolicy, 404, "No such policy"),
)
_OF_MIRRORS = "/api/v1/mirrors/"
_PHRASES = {404: "There is no such path", 405: "Method not allowed", 413: "Too large"}


class NotJson(errors.RequestError):
    """The body is not declared to be JSON."""


class Api:
    """The routes of *operations*, and of their description."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._description = msgspec.json.encode(description(operations))

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        made = [web.route(one.method, one.path, _handler(one)) for one in self._operations]
        return [*made, web.get(DESCRIPTION, self._described)]

    async def _described(self, request: web.Request) -> web.Response:
        return web.Response(body=self._description, content_type=_JSON)


def _handler(operation: Operation) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(
            path=dict(request.match_info),
            query=query_of(operation, list(request.query.items())),
            body=await _body(operation, request),
            headers=request.headers,
        )
        answer = await operation.run(call)
        if operation.answer is Nothing:
            return web.Response(status=operation.status)
        if isinstance(answer, AsyncGenerator):
            return await _streamed(request, operation, answer)
        return web.Response(
            body=msgspec.json.encode(answer), status=operation.status, content_type=_JSON
        )

    return handle


async def _body(operation: Operation, request: web.Request) -> object:
    if operation.body is Nothing:
        return Nothing()
    # Forms of other sites cannot be sent so without the browser asking first.
    if request.content_type != _JSON:
        raise NotJson(f"send the body as {_JSON}, not as {request.content_type}")
    return body_of(operation, await request.read())


async def _streamed(
    request: web.Request, operation: Operation, pieces: AsyncGenerator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": operation.media_type})
    await response.prepare(request)
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            await response.write(piece)
    return response


def refusal(error: ProxyError) -> Problem:
    """What to answer when *error* ended a request to the administration."""
    told = problem(error, ecosystem="")
    status, title = told.status, told.title
    if isinstance(error, NotJson):
        status = 415
    for kind, its, words in _OURS:
        if isinstance(error, kind):
            status, title = its, words
    headers = {name: value for name, value in told.headers.items() if name == "Retry-After"}
    headers["Cache-Control"] = "no-store"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 6750 section 3
    return Problem(status=status, title=title, detail=told.detail, reason=title, headers=headers)


def unrouted(error: web.HTTPException, path: str) -> Problem:
    """What to answer where the router found nothing at *path*."""
    title = _PHRASES.get(error.status, error.reason)
    headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    detail = f"{title}; {DESCRIPTION} lists what there is"
    if path.startswith(_OF_MIRRORS):
        detail += "; a mirror is <type>%2F<name> in a path, its slashes escaped"
    return Problem(status=error.status, title=title, detail=detail, reason=title, headers=headers)


def as_response(told: Problem) -> web.Response:
    """*told* for programs (RFC 9457)."""
    return web.Response(
        status=told.status,
        body=told.body,
        reason=told.reason,
        headers={**told.headers, "Content-Type": "application/problem+json"},
    )
