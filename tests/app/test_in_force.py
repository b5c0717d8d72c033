"""The configuration in force: taken over by all who keep something of it, or by nobody."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app.in_force import InForce
from proxy.app.notifying import Manager
from proxy.config import Settings, load
from proxy.core.model import Mirror
from proxy.errors import ConfigError, UnknownMirror
from proxy.observe.log import Log


def _settings(folder: Path, name: str, *, more: str = "") -> Settings:
    path = folder / f"{name}.toml"
    mirror = f'[[mirror]]\ntype = "files"\nname = "{name}"\nsource = "https://files.example.org"\n'
    path.write_text(more + mirror)
    return load(path, {}).settings


class _Server:
    """One whose configuration is what `next` says."""

    def __init__(self, first: Settings) -> None:
        self.next: Settings | ConfigError = first
        self._stream = io.BytesIO()
        self._log = Log(self._stream)
        self.in_force = InForce(
            first,
            self._read,
            manager=Manager({}),
            log=self._log,
            certificates=lambda: None,
        )

    def said(self) -> list[str]:
        """The lines for the operator."""
        with self._log:
            pass
        return self._stream.getvalue().decode().splitlines()

    def _read(self, _made: str | None) -> Settings:
        if isinstance(self.next, ConfigError):
            raise self.next
        return self.next


def test_who_follows_is_told_in_order_and_finds_the_mirrors_already_there(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = _Server(_settings(tmp_path, "old"))
        in_force = server.in_force
        heard: list[tuple[int, Settings, list[Mirror]]] = []
        in_force.followed_by(lambda now: heard.append((1, now, list(in_force.mirrors))))
        in_force.followed_by(lambda now: heard.append((2, now, list(in_force.mirrors))))
        server.next = new = _settings(tmp_path, "new")
        await in_force.reload()
        mirrors = [in_force.mirror("files/new")]
        assert heard == [(1, new, mirrors), (2, new, mirrors)]
        with pytest.raises(UnknownMirror):
            in_force.mirror("files/old")

    asyncio.run(main())


def test_a_bad_configuration_is_told_to_the_operator_and_to_nobody_else(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = _Server(_settings(tmp_path, "old"))
        heard: list[Settings] = []
        server.in_force.followed_by(heard.append)
        server.next = ConfigError("line 3 makes no sense")
        await server.in_force.reload()
        assert not heard
        assert server.in_force.mirror("files/old")
        (line,) = server.said()
        assert "reload_failed" in line
        assert "line 3 makes no sense" in line

    asyncio.run(main())


@pytest.mark.parametrize(
    ("section", "key"), [("server", "port = 9"), ("advisories", 'osv = "/var/lib/osv"')]
)
def test_what_is_only_read_at_the_start_is_named_where_it_has_changed(
    tmp_path: Path, section: str, key: str
) -> None:
    async def main() -> None:
        server = _Server(_settings(tmp_path, "old"))
        server.next = _settings(tmp_path, "new", more=f"[{section}]\n{key}\n")
        await server.in_force.reload()
        (line,) = (it for it in server.said() if "needs_restart" in it)
        assert f"section={section}" in line

    asyncio.run(main())


def test_what_is_likely_to_be_a_mistake_is_told_whenever_it_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        doubtful = replace(_settings(tmp_path, "old"), doubts=("no platform linux64",))
        server = _Server(doubtful)
        server.in_force.warn()
        server.next = replace(doubtful, doubts=("no platform osx64",))
        await server.in_force.reload()
        told = [line for line in server.said() if "doubtful" in line]
        assert ["linux64" in line for line in told] == [True, False]
        assert "no platform osx64" in told[1]

    asyncio.run(main())


def test_whoever_stops_waiting_for_a_reload_does_not_stop_it(tmp_path: Path) -> None:
    async def main() -> None:
        server = _Server(_settings(tmp_path, "old"))
        server.next = new = _settings(tmp_path, "new")
        taken: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
        server.in_force.followed_by(taken.set_result)
        waiting = asyncio.create_task(server.in_force.reload())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await taken == new

    asyncio.run(main())
