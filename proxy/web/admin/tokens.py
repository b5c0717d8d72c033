"""Clients' tokens over the API: made, listed, revoked, as the commands do to the same file.

The text of a token is in the answer that made it and nowhere else. All workers take a change over
within a second. Where anybody on the machine may administer, tokens are listed but not made: they
would open mirrors that are closed to the same people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from proxy.core.tokens import Token
from proxy.errors import ConfigError, Conflict, StorageError
from proxy.storage.token_file import NameTaken, TokenFile
from proxy.storage.token_making import Made, make
from proxy.web.admin.operations import ROOT, Call, Nothing, Operation

Told = Callable[[str, Token], None]
"""Hears what was done ("token_made", "token_revoked") and to which token."""

LONGEST = 100 * 366 * 86400.0
"""Seconds that a token may hold, where it does not hold for ever: what a date can still say."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64)]
_SCOPE = r"^((read|write)(:[a-z0-9_./*?-]{1,200})?|metrics|admin)$"
Scopes = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=_SCOPE, max_length=210)], ...],
    msgspec.Meta(min_length=1, max_length=64),
]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=LONGEST)]

_CLOSED = "Tokens are not made where the administration asks for none, or the name is taken."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A token to make; it holds for so many seconds, or for ever."""

    name: Name
    scopes: Scopes = ("read",)
    holds_for: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a token. `expires` is null where it never does."""

    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A token that was made. `text` is the token itself: it cannot be shown again."""

    text: str
    token: Known


class TokenDesk:
    """Answers for the tokens in *file*."""

    def __init__(
        self, file: TokenFile, clock: Callable[[], float], *, may_change: bool, told: Told
    ) -> None:
        """*may_change*: whether who administers has proved to be allowed to."""
        self._file = file
        self._clock = clock
        self._may_change = may_change
        self._told = told

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        return (
            Operation(
                method="GET",
                path=f"{ROOT}/tokens",
                name="list_tokens",
                summary="Clients' tokens by name, without what proves them.",
                answer=Sequence[Known],
                run=self._list,
            ),
            Operation(
                method="POST",
                path=f"{ROOT}/tokens",
                name="make_token",
                summary="Make a token; its text is told this once. It holds within a second.",
                body=Wanted,
                answer=Shown,
                status=201,
                run=self._make,
                fails={409: _CLOSED},
            ),
            Operation(
                method="DELETE",
                path=f"{ROOT}/tokens/{{name}}",
                name="revoke_token",
                summary="Forget a token: within a second it is refused.",
                status=204,
                run=self._revoke,
                fails={404: "No token is called so.", 409: _CLOSED},
            ),
        )

    async def _list(self, call: Call) -> Sequence[Known]:
        tokens = await asyncio.to_thread(self._read)
        return [_known(one) for one in sorted(tokens, key=lambda token: token.name)]

    async def _make(self, call: Call) -> Shown:
        self._check()
        made = await asyncio.to_thread(self._made, call.body)
        self._told("token_made", made.token)
        return Shown(text=made.text, token=_known(made.token))

    async def _revoke(self, call: Call) -> Nothing:
        self._check()
        token = await asyncio.to_thread(self._removed, call.path["name"])
        self._told("token_revoked", token)
        return Nothing()

    def _check(self) -> None:
        if not self._may_change:
            raise Conflict(
                "this administration asks nobody for a token, so that it makes and revokes none: "
                "set admin.credentials, listen on admin.socket alone, or use `pkgproxy token`"
            )

    # -- in a thread: the file is locked while others change it ----------------------------

    def _read(self) -> list[Token]:
        try:
            return list(self._file.read())
        except ConfigError as error:  # not the caller's to mend
            raise StorageError(str(error)) from error

    def _made(self, wanted: Wanted) -> Made:
        self._read()
        try:
            return make(
                self._file,
                wanted.name,
                wanted.scopes,
                now=self._clock(),
                holds_for=wanted.holds_for,
            )
        except NameTaken as error:
            raise Conflict(str(error)) from error

    def _removed(self, name: str) -> Token:
        self._read()
        return self._file.remove(name)


def _known(token: Token) -> Known:
    return Known(
        name=token.name,
        scopes=tuple(str(scope) for scope in token.scopes),
        created=token.created,
        expires=token.expires,
    )
