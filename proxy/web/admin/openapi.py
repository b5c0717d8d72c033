"""The description of the administration's API (OpenAPI 3.1), made from its operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from proxy import __version__
from proxy.web.admin.operations import Nothing, Operation, msgspec_fields

_TEMPLATE = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"

_ALWAYS = {
    400: "The request is not understood.",
    401: "A token is asked for, and there is none or a wrong one.",
    403: "The request comes from a page of another site, or for another host.",
    429: "Too many wrong tokens came from this address.",
    503: "The store failed.",
}
"""How every operation may fail."""


class ProblemDetails(msgspec.Struct):
    """What went wrong (RFC 9457)."""

    status: int
    title: str
    detail: str


def description(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    known = list(operations)
    bodies = [kind for one in known for kind in (one.body, one.answer) if kind is not Nothing]
    types = [ProblemDetails, *bodies]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template=_TEMPLATE
    )
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for one in known:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pkgproxy administration",
            "version": __version__,
            "description": "Times are seconds since the epoch, durations seconds, sizes bytes.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Whether a token is asked for is the server's to say; one does no harm where it is not.
        "security": [{"token": []}, {}],
    }


def _anything(kind: type) -> dict[str, Any]:
    """Stands for `object`. Raises NotImplementedError for what cannot be described."""
    if kind is not object:
        raise NotImplementedError
    return {"description": "any JSON value"}


def _operation(one: Operation, schemas: Mapping[int, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "responses": _responses(one, schemas),
    }
    if parameters := [*map(_in_path, one.parameters), *_in_query(one)]:
        made["parameters"] = parameters
    if one.body is not Nothing:
        content = {"application/json": {"schema": schemas[id(one.body)]}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _responses(one: Operation, schemas: Mapping[int, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    if one.answer is not Nothing:
        success["content"] = {one.media_type: {"schema": schemas[id(one.answer)]}}
    problem = {"schema": schemas[id(ProblemDetails)]}
    failures = {**_ALWAYS, **one.fails}
    if one.body is not Nothing:
        failures |= {
            413: "The body is too large.",
            415: "The body is not declared to be JSON.",
            422: "A value is wrong.",
        }
    return {str(one.status): success} | {
        str(status): {"description": text, "content": {_PROBLEM: problem}}
        for status, text in sorted(failures.items())
    }


def _in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(one: Operation) -> Iterable[dict[str, Any]]:
    for field in msgspec_fields(one.query):
        schema = msgspec.json.schema(one.query)["$defs"][one.query.__name__]
        yield {
            "name": field.name,
            "in": "query",
            "required": field.required,
            "schema": schema["properties"][field.name],
        }
