"""What a request for a file asks for: the form, the coding, the part, and who asks.

The client's headers are read here and go no further, but for those that the file may vary by.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web

from proxy.core.model import Artifact, Form, Index, Plain, Resource
from proxy.core.negotiation import choose, choose_coding
from proxy.core.r_agent import USER_AGENT
from proxy.gateway.answer import Want
from proxy.gateway.render import CODINGS


def wanted(request: web.Request, resource: Resource) -> tuple[Want, tuple[str, ...]]:
    """What the request asks for, and the headers that decided it. Raises NotAcceptable."""
    headers = request.headers
    form: Form | None = None
    coding = "identity"
    vary: list[str] = []
    if isinstance(resource, Index):
        form = resource.forms[0]
        if len(resource.forms) > 1:
            vary.append("Accept")
            offered = tuple(one.media_type for one in resource.forms)
            chosen = choose(headers.get("Accept"), offered, wanted=request.query.get("format"))
            form = resource.forms[offered.index(chosen)]
        if form.compressible:
            vary.append("Accept-Encoding")
            coding = choose_coding(headers.get("Accept-Encoding"), (*CODINGS, "identity"))
    want = Want(
        form=form,
        coding=coding,
        head=request.method == hdrs.METH_HEAD,
        headers=_forwardable(resource, headers),
        # With If-Range the whole file may have to be sent, which only a validator can tell.
        byte_range=None if "If-Range" in headers else headers.get("Range"),
    )
    return want, tuple(vary)


def _forwardable(resource: Resource, headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the client's headers that the file may vary by; no others go any further."""
    match resource:
        case Plain(forward=names, by_platform=by_platform):
            wanted = (*names, USER_AGENT) if by_platform else names
        case Artifact(by_platform=True):
            wanted = (USER_AGENT,)
        case _:
            return {}
    return {name: headers[name] for name in wanted if name in headers}
