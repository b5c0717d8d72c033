"""Which answers of the flow are kept to be given again, and what is kept of them.

Only a hit that was sent whole, to a request that `heads` understood to its end, and only while
what it rests on (`proxy.gateway.basis`) is still what it was when the flow looked.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from http import HTTPStatus
from sys import intern
from typing import Any, Protocol

from aiohttp import hdrs, web

from proxy.core.cache_status import Result
from proxy.core.model import Index, Resource
from proxy.gateway.answer import Answer, Slice
from proxy.gateway.basis import Basis, Watched
from proxy.web.door import Door
from proxy.web.heads import OF_NO_INTEREST, USER_AGENT
from proxy.web.ready import LASTS, Answers, Block, Part, Ready, Shelf, Template
from proxy.web.sending import SMALL

IN_MEMORY = 128 << 10
"""Bytes of a body that is kept as such: a compressed page of 1,000 files has half of this. Longer
ones stay in their files, from which sendfile takes them without a copy."""


class Stencils(Protocol):
    """Makes what is said of each request that is answered so again."""

    def stencil(
        self,
        *,
        mirror: str,
        method: str,
        path: str,
        status: int,
        result: Result,
        sent: int | None,
    ) -> Any:
        """*sent* bytes of a body; None: the answer is a head alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer that the flow has given to a request for `path`.

    `span`: of the body, what of it was meant; None where that was nothing, or several parts.
    """

    request: web.Request
    path: str
    response: web.StreamResponse
    resource: Resource
    answer: Answer
    span: range | None
    sent: int

    @property
    def is_head(self) -> bool:
        """Whether it has no body."""
        return self.request.method == hdrs.METH_HEAD or self.span is None


class Keeping:
    """Takes answers into the shelf."""

    def __init__(self, shelf: Shelf, catalog: Watched, stencils: Stencils) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._stencils = stencils

    def mark(self, mirror: str) -> tuple[int, int]:
        """To be given to `keep` with an answer that was begun now."""
        return self._shelf.mark(mirror)

    async def keep(self, given: Given, basis: Basis, mark: tuple[int, int]) -> None:
        """Have *given* given again, if it can be."""
        connection = given.request.protocol
        asked = connection.asked if isinstance(connection, Door) else None
        if asked is None or not _is_to_be_kept(given) or not basis.is_sound:
            return
        # What aiohttp adds to the head is in it after this, and it is done once in any case.
        await given.response.prepare(given.request)
        mirror = given.resource.mirror
        line, block = asked
        if bool(given.response.keep_alive) == block.closes or given.response.chunked:
            return
        if self._shelf.mark(mirror) != mark or not self._catalog.still(basis):
            return
        body = _body(given)
        if body is None:
            return
        told = self._stencils.stencil(
            mirror=mirror,
            method=given.request.method,
            path=given.path,
            status=given.response.status,
            result=given.answer.status.result,
            sent=None if given.is_head else len(body),
        )
        among = _among(block, given.answer)
        ready = Ready(line, among, _template(given), body, told)
        self._shelf.put(ready, basis)
        if isinstance(body, Part):  # which must not hold what is deleted for long
            asyncio.get_running_loop().call_later(LASTS, self._shelf.drop, ready)


def _is_to_be_kept(given: Given) -> bool:
    answer = given.answer
    if (
        answer.status.result is not Result.HIT
        or not isinstance(answer.body, Slice)
        or answer.content_range is not None
        or any(name == "*" or name.lower().encode() in OF_NO_INTEREST for name in answer.vary)
    ):
        return False
    if given.span is None:
        return given.response.status == HTTPStatus.NOT_MODIFIED
    if given.is_head or len(given.span) <= SMALL or isinstance(given.resource, Index):
        return True
    # Long parts of files: what resumes a download is not asked for again.
    return given.response.status == HTTPStatus.OK


def _among(block: Block, answer: Answer) -> Answers:
    """Which requests it is the answer to."""
    by_agent = any(name.lower().encode() == USER_AGENT for name in answer.vary)
    return block.own if by_agent else block.answers


def _body(given: Given) -> bytes | Part | None:
    """What was sent after the head; None if that was not all of it."""
    if given.is_head:
        return b""
    answered = given.answer.body
    assert isinstance(answered, Slice)
    assert given.span is not None
    if given.sent != len(given.span):
        return None
    start = answered.start + given.span.start
    if len(given.span) > IN_MEMORY:
        return Part(os.dup(answered.blob.fileno()), range(start, start + len(given.span)))
    # Just sent, so that it is in the page cache.
    body = os.pread(answered.blob.fileno(), len(given.span), start)
    return body if len(body) == len(given.span) else None


def _template(given: Given) -> Template:
    response = given.response
    return Template(
        status_line=f"HTTP/1.1 {response.status} {response.reason}\r\n".encode(),
        # Most are the same in thousands of answers, and are to be in memory once.
        headers=tuple((intern(str(n)), intern(str(v))) for n, v in response.headers.items()),
        cache=given.answer.status,
        counted=given.answer.counted,
        is_index=isinstance(given.resource, Index),
    )
