"""Where mirrors are administered: `proxy.mirror.port.Mirrors`, carried out.

A mirror is made, changed or frozen by writing the book and having the configuration read again,
by all workers, with the checks that every mirror has to pass; nothing else is told of it. What the
configuration would refuse is never written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import tomli_w

from proxy.config import Settings
from proxy.config.written import Written
from proxy.core.model import Mirror
from proxy.errors import ConfigError, Conflict, UnknownMirror
from proxy.gateway import freezing
from proxy.gateway.engine import Engine
from proxy.mirror import comparing
from proxy.mirror.book import Book, Made, key_of
from proxy.mirror.notices import Notices
from proxy.mirror.port import (
    Cause,
    DependencyReport,
    Difference,
    Event,
    MirrorDefinition,
    MirrorStatus,
    Origin,
    Run,
    RunDetails,
)
from proxy.mirror.runs import Runs
from proxy.mirror.schedule import Schedule

ESTABLISHED = ("type", "name", "mode")
"""What stays as it was when a mirror was made."""


class House(Protocol):
    """The configuration of this server."""

    @property
    def settings(self) -> Settings:
        """What is in force."""
        ...

    def check(self, made: str) -> Settings:
        """What would be in force if *made* stood in the book. Blocks. Raises ConfigError."""
        ...

    async def reload(self) -> None:
        """Have all workers read it again; this one has when it returns."""
        ...


class Desk:
    """See `proxy.mirror.port.Mirrors`."""

    def __init__(
        self,
        house: House,
        *,
        book: Book,
        engine: Engine,
        runs: Runs,
        schedule: Schedule,
        notices: Notices,
    ) -> None:
        self._house = house
        self._book = book
        self._engine = engine
        self._runs = runs
        self._schedule = schedule
        self._notices = notices
        self._writing = asyncio.Lock()

    # -- looking -------------------------------------------------------------------------

    def list(self) -> Sequence[MirrorStatus]:
        """See the port."""
        written = self._house.settings.written
        shown = sorted(written, key=lambda one: (one.key, one.shadowed))
        return [self._status(_definition(one)) for one in shown]

    def show(self, key: str) -> MirrorStatus:
        """See the port."""
        found = next((one for one in self.list() if one.definition.key == key), None)
        if found is None:
            raise UnknownMirror(f"there is no mirror {key}")
        return found

    def runs(self, key: str) -> Sequence[Run]:
        """See the port."""
        self.show(key)
        return self._runs.of(key)

    async def details(self, key: str, run_id: str) -> RunDetails:
        """See the port."""
        self.show(key)
        return await self._runs.details(key, run_id)

    async def report(self, key: str) -> DependencyReport:
        """See the port."""
        return await comparing.report(self._engine, self._mirror(key))

    async def difference(self, key: str) -> Difference:
        """See the port."""
        return await comparing.difference(self._engine, self._mirror(key))

    def export(self, keys: Sequence[str] = ()) -> str:
        """See the port."""
        chosen = [self.show(key) for key in keys] or self.list()
        tables = [dict(one.definition.values) for one in chosen if not one.definition.shadowed]
        return tomli_w.dumps({"mirror": tables})

    def events(self) -> AsyncIterator[Event]:
        """See the port."""
        return self._notices.follow()

    # -- changing ------------------------------------------------------------------------

    async def create(self, values: Mapping[str, object]) -> MirrorStatus:
        """See the port."""
        key = key_of(values)
        async with self._writing:
            await self._write(self._with_new(values))
        self._notices.tell("created", key)
        return self.show(key)

    async def edit(self, key: str, values: Mapping[str, object]) -> MirrorStatus:
        """See the port."""
        async with self._writing:
            await self._write(self._with_edited(key, values))
        self._notices.tell("edited", key)
        return self.show(key)

    async def check(self, values: Mapping[str, object], key: str | None = None) -> MirrorDefinition:
        """See the port."""
        made = self._with_new(values) if key is None else self._with_edited(key, values)
        settings = await asyncio.to_thread(self._checked, made)
        its = key or key_of(values)
        return next(
            _definition(one) for one in settings.written if one.key == its and not one.shadowed
        )

    async def delete(self, key: str) -> None:
        """See the port."""
        self._editable(key)
        shadowed = self._is_configured(key)  # then what runs, and is frozen, is not this one
        if not shadowed and self._runs.goes_on(key):
            self._runs.stop(key)
            await self._runs.ended(key)
        async with self._writing:
            made = self._book.read().without_mirror(key)
            await self._write(made if shadowed else made.with_frozen(key, None))
        if not shadowed:
            await self._runs.forget(key)
            await freezing.thaw(self._engine.ports.catalog, key)
        self._notices.tell("deleted", key)

    async def freeze(self, key: str) -> MirrorStatus:
        """See the port."""
        mirror = self._mirror(key)
        if mirror.type == "files":
            raise Conflict(f"{key} is a tree of files, and has no index that could be frozen")
        ports = self._engine.ports
        async with self._writing:
            if mirror.frozen_at is not None:
                raise Conflict(f"{key} is frozen already")
            at = round(ports.clock(), 3)
            await freezing.freeze(ports.catalog, ports.ecosystems[mirror.type], key, at)
            await self._write(self._book.read().with_frozen(key, at))
        self._notices.tell("frozen", key)
        return self.show(key)

    async def unfreeze(self, key: str) -> MirrorStatus:
        """See the port."""
        if self._mirror(key).frozen_at is None:
            raise Conflict(f"{key} is not frozen")
        async with self._writing:
            await self._write(self._book.read().with_frozen(key, None))
            await freezing.thaw(self._engine.ports.catalog, key)
        self._notices.tell("unfrozen", key)
        return self.show(key)

    async def run(self, key: str) -> Run:
        """See the port."""
        return self._runs.begin(self._mirror(key), Cause.ASKED)

    async def stop(self, key: str) -> Run:
        """See the port."""
        self.show(key)
        return self._runs.stop(key)

    # -- what these need -----------------------------------------------------------------

    def _mirror(self, key: str) -> Mirror:
        found = next((one for one in self._house.settings.mirrors if one.key == key), None)
        if found is None:
            raise UnknownMirror(f"there is no mirror {key}")
        return found

    def _is_configured(self, key: str) -> bool:
        """Whether the configuration's files have a mirror of that key."""
        return any(one.key == key and not one.made for one in self._house.settings.written)

    def _editable(self, key: str) -> tuple[Made, Mapping[str, Any]]:
        """The book and the mirror's table in it."""
        self.show(key)
        made = self._book.read()
        table = made.find(key)
        if table is None:
            raise Conflict(f"{key} is in the configuration: change it there")
        return made, table

    def _with_new(self, values: Mapping[str, object]) -> Made:
        """The book with one more mirror. Raises Conflict."""
        key = key_of(values)
        if any(one.key == key for one in self._house.settings.written):
            raise Conflict(f"there is a mirror {key} already")
        return self._book.read().with_mirror(_without_nothing(values))

    def _with_edited(self, key: str, values: Mapping[str, object]) -> Made:
        """The book with *values* in place of what was that mirror. Raises Conflict, ConfigError."""
        table = _without_nothing(values)
        made, before = self._editable(key)
        if self._runs.goes_on(key):
            raise Conflict(f"a run of {key} goes on; stop it, or wait until it is over")
        for name in ESTABLISHED:
            usual = "passive" if name == "mode" else None
            if table.get(name, usual) != before.get(name, usual):
                raise ConfigError(
                    f"mirror {key}, {name}: cannot be changed once there is the mirror: "
                    "make another one"
                )
        if table.get("source") == self.show(key).definition.values.get("source"):
            table["source"] = before["source"]  # with the secret that was not shown
        return made.with_mirror(table)

    def _checked(self, made: Made) -> Settings:
        """What *made* would have in force. Raises ConfigError where that is refused. Blocks."""
        try:
            return self._house.check(made.text)
        except ConfigError as error:
            # Whoever asked has written no file: its name and lines would only be a riddle.
            place = re.compile(rf"^{re.escape(str(self._book.path))}:\d+: ", re.MULTILINE)
            raise ConfigError(place.sub("", str(error))) from error

    async def _write(self, made: Made) -> None:
        """Have *made* written and taken over, if it is right. Raises ConfigError, StorageError."""
        await asyncio.to_thread(self._checked, made)
        await asyncio.to_thread(self._book.write, made)
        await self._house.reload()

    def _status(self, definition: MirrorDefinition) -> MirrorStatus:
        if definition.shadowed:
            return MirrorStatus(definition=definition)
        mirror = self._mirror(definition.key)
        active, runs = mirror.active, self._runs.of(mirror.key)
        return MirrorStatus(
            definition=definition,
            frequency=None if active is None else active.frequency.text,
            frequency_text=None if active is None else active.frequency.aloud,
            next_run=self._schedule.next.get(mirror.key),
            frozen_at=mirror.frozen_at,
            policy=None if mirror.policy is None else mirror.policy.name,
            latest=runs[0] if runs else None,
        )


def _definition(one: Written) -> MirrorDefinition:
    return MirrorDefinition(
        key=one.key,
        origin=Origin.RUNTIME if one.made else Origin.CONFIGURATION,
        values=one.values,
        shadowed=one.shadowed,
        doubts=one.doubts,
    )


def _without_nothing(values: Mapping[str, object]) -> dict[str, Any]:
    """*values* without those that are None: what is not written has its default."""
    return {name: value for name, value in values.items() if value is not None}
