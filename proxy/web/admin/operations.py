"""The administration's operations: one table from which routes and their description are made.

An operation takes a typed query and body and gives a typed answer or raises one of our errors.
Times in answers are seconds since the epoch, durations seconds, sizes bytes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proxy.errors import ConfigError, RequestError

ROOT = "/api/v1"
"""What all paths begin with."""

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Nothing:
    """No parameters, no body, or no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: the path's parameters, and query and body as the operation's types."""

    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `fails` says with which statuses it may refuse, and why.

    `run` gets a call whose query is a `query` and whose body is a `body`, and returns an `answer`;
    where `media_type` is not JSON, a stream of bytes. Each parameter in the `path` is one segment;
    slashes in it are escaped (%2F). `status` is that of a success.
    """

    method: str
    path: str
    name: str
    summary: str
    run: Callable[[Call], Awaitable[Any]]
    query: type = Nothing
    body: type = Nothing
    answer: Any = Nothing
    status: int = 200
    media_type: str = "application/json"
    fails: dict[int, str] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of those in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing (RFC 9110 section 9.2.1)."""
        return self.method == "GET"


def query_of(operation: Operation, given: list[tuple[str, str]]) -> Any:
    """The typed query. Raises RequestError naming the parameter."""
    known = {one.name: one.encode_name for one in msgspec_fields(operation.query)}
    values: dict[str, str] = {}
    for name, value in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise RequestError(f"there is no parameter {name!r}; known are {listed}")
        if name in values:
            raise RequestError(f"the parameter {name!r} is given twice")
        values[name] = value
    try:
        return msgspec.convert(values, operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(f"the query is wrong: {error}{_words(operation, str(error))}") from error


def _words(operation: Operation, problem: str) -> str:
    """What may be written for the parameter that *problem* is about, where that is a few words."""
    for one in msgspec_fields(operation.query):
        if problem.endswith(f"`$.{one.encode_name}`"):
            for kind in getattr(one.type, "types", (one.type,)):
                if isinstance(kind, msgspec.inspect.EnumType):
                    return f"; write {' or '.join(str(word.value) for word in kind.cls)}"
    return ""


def body_of(operation: Operation, content: bytes) -> Any:
    """The typed body. Raises RequestError where it is no JSON, ConfigError where it is wrong."""
    if operation.body is Nothing:
        return Nothing()
    try:
        return msgspec.json.decode(content, type=operation.body)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the body is wrong: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error


def msgspec_fields(kind: type) -> tuple[msgspec.inspect.Field, ...]:
    """The fields of a dataclass, as msgspec sees them."""
    found = msgspec.inspect.type_info(kind)
    assert isinstance(found, msgspec.inspect.DataclassType), f"{kind} is not a dataclass"
    return found.fields
