"""Mirrors and their runs over the API: everything that `proxy.mirror.port.Mirrors` can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from proxy.core.frequency import USUAL, Frequency
from proxy.errors import ConfigError
from proxy.mirror.port import (
    DependencyReport,
    Difference,
    Mirrors,
    MirrorStatus,
    Run,
    RunDetails,
)
from proxy.web.admin.operations import ROOT, Call, Nothing, Operation

Values = dict[str, str | int | float | bool | list[str] | None]
"""The keys of a `[[mirror]]` table, as docs/configuration.md has them."""

_ONE = f"{ROOT}/mirrors/{{key}}"
_UNKNOWN = {404: "There is no such mirror."}
_CONFLICT = {**_UNKNOWN, 409: "It does not go with how things stand: the detail says why."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One mirror; without it all of them."""

    mirror: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`[[mirror]]` tables, without secrets."""

    toml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often an active mirror is run: five fields of cron, or an alias such as @daily."""

    text: str = USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Aloud:
    """The same in words, with its time zone."""

    text: str
    aloud: str


class MirrorDesk:
    """Answers for the mirrors of a running server."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        return (*self._reading(), *self._changing())

    def _reading(self) -> tuple[Operation, ...]:
        read = partial(Operation, method="GET")
        return (
            read(
                path=f"{ROOT}/mirrors",
                name="mirrors",
                summary="All mirrors, and how they stand.",
                answer=list[MirrorStatus],
                run=self._list,
            ),
            read(
                path=_ONE,
                name="mirror",
                summary="One mirror.",
                answer=MirrorStatus,
                run=self._show,
                fails=_UNKNOWN,
            ),
            read(
                path=f"{_ONE}/runs",
                name="runs",
                summary="The runs that are remembered, newest first.",
                answer=list[Run],
                run=self._runs,
                fails=_UNKNOWN,
            ),
            read(
                path=f"{_ONE}/runs/{{run}}",
                name="run_details",
                summary="A run, and why it left out what it did.",
                answer=RunDetails,
                run=self._details,
                fails={404: "There is no such mirror, or no such run of it."},
            ),
            read(
                path=f"{_ONE}/difference",
                name="difference",
                summary="What unfreezing a mirror would change for clients.",
                answer=Difference,
                run=self._difference,
                fails={**_CONFLICT, 502: "An index cannot be had, or not be read."},
            ),
            read(
                path=f"{_ONE}/report",
                name="dependency_report",
                summary="What is kept because an allow-list's packages need it.",
                answer=DependencyReport,
                run=self._report,
                fails={**_CONFLICT, 502: "An index cannot be had, or not be read."},
            ),
            read(
                path=f"{ROOT}/export",
                name="export_mirrors",
                summary="Mirrors as they would stand in a configuration file.",
                query=Chosen,
                answer=Exported,
                run=self._export,
                fails=_UNKNOWN,
            ),
            read(
                path=f"{ROOT}/frequency",
                name="read_frequency",
                summary="When a mirror of that frequency would be run, in words.",
                query=Cadence,
                answer=Aloud,
                run=self._aloud,
                fails={422: "It is no frequency: the detail says what to write."},
            ),
        )

    def _changing(self) -> tuple[Operation, ...]:
        post = partial(Operation, method="POST", fails=_CONFLICT)
        return (
            post(
                path=f"{ROOT}/mirrors",
                name="create_mirror",
                summary="Make a mirror, and serve it at once.",
                body=Values,
                answer=MirrorStatus,
                status=201,
                run=self._create,
                fails={409: "There is a mirror of that type and name."},
            ),
            Operation(
                method="PUT",
                path=_ONE,
                name="edit_mirror",
                summary="Replace what a mirror made at run time consists of.",
                body=Values,
                answer=MirrorStatus,
                run=self._edit,
                fails=_CONFLICT,
            ),
            Operation(
                method="DELETE",
                path=_ONE,
                name="delete_mirror",
                summary="Forget a mirror made at run time; a run of it is stopped first.",
                answer=Nothing,
                status=204,
                run=self._delete,
                fails=_CONFLICT,
            ),
            post(
                path=f"{_ONE}/run",
                name="run_mirror",
                summary="Begin a run now.",
                answer=Run,
                status=202,
                run=self._run,
            ),
            post(
                path=f"{_ONE}/stop",
                name="stop_mirror",
                summary="Stop the run that goes on; what was fetched stays.",
                answer=Run,
                status=202,
                run=self._stop,
            ),
            post(
                path=f"{_ONE}/freeze",
                name="freeze_mirror",
                summary="Let clients see each index as it is now, until it is unfrozen.",
                answer=MirrorStatus,
                run=self._freeze,
            ),
            post(
                path=f"{_ONE}/unfreeze",
                name="unfreeze_mirror",
                summary="Let clients see what upstream has again.",
                answer=MirrorStatus,
                run=self._unfreeze,
            ),
        )

    # -- reading -------------------------------------------------------------------------

    async def _list(self, call: Call) -> Sequence[MirrorStatus]:
        return self._mirrors.list()

    async def _show(self, call: Call) -> MirrorStatus:
        return self._mirrors.show(call.path["key"])

    async def _runs(self, call: Call) -> Sequence[Run]:
        return self._mirrors.runs(call.path["key"])

    async def _details(self, call: Call) -> RunDetails:
        return await self._mirrors.details(call.path["key"], call.path["run"])

    async def _difference(self, call: Call) -> Difference:
        return await self._mirrors.difference(call.path["key"])

    async def _report(self, call: Call) -> DependencyReport:
        return await self._mirrors.report(call.path["key"])

    async def _export(self, call: Call) -> Exported:
        mirror = call.query.mirror
        return Exported(toml=self._mirrors.export(() if mirror is None else (mirror,)))

    async def _aloud(self, call: Call) -> Aloud:
        try:
            return Aloud(text=call.query.text, aloud=Frequency.of(call.query.text).aloud)
        except ValueError as error:
            raise ConfigError(f"frequency: {error}") from error

    # -- changing ------------------------------------------------------------------------

    async def _create(self, call: Call) -> MirrorStatus:
        return await self._mirrors.create(call.body)

    async def _edit(self, call: Call) -> MirrorStatus:
        return await self._mirrors.edit(call.path["key"], call.body)

    async def _delete(self, call: Call) -> Nothing:
        await self._mirrors.delete(call.path["key"])
        return Nothing()

    async def _run(self, call: Call) -> Run:
        return await self._mirrors.run(call.path["key"])

    async def _stop(self, call: Call) -> Run:
        return await self._mirrors.stop(call.path["key"])

    async def _freeze(self, call: Call) -> MirrorStatus:
        return await self._mirrors.freeze(call.path["key"])

    async def _unfreeze(self, call: Call) -> MirrorStatus:
        return await self._mirrors.unfreeze(call.path["key"])
