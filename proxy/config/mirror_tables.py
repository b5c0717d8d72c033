"""The `[[mirror]]` tables of all files, checked one by one and against each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy.config import active
from proxy.config import mirrors as checks
from proxy.config.declared import MIRROR, REQUIRED
from proxy.config.files import ConfigFile
from proxy.config.findings import DEFAULT, Findings
from proxy.config.fitting import misfits
from proxy.config.key import Key
from proxy.config.policies import filtered, missing
from proxy.config.settings import DEFAULT_MIRRORS, mirror_of
from proxy.config.written import Written, frozen, shown
from proxy.core.model import Mirror
from proxy.core.policy import Policy

_EXAMPLES = {
    "type": '"conda"',
    "name": '"conda-forge"',
    "source": '"https://conda.anaconda.org/conda-forge"',
}


@dataclass(frozen=True, slots=True)
class _Table:
    """A `[[mirror]]` table: what to call it in messages, and where its keys stand."""

    shown: str
    content: Mapping[str, Any]
    at: Callable[[str], str]

    @property
    def key(self) -> str:
        """As `Mirror.key`, right or wrong."""
        return f"{self.content.get('type')}/{self.content.get('name')}"


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies there are, and the name of the one for all mirrors. `advised`: it is known where
    advisories are.
    """

    by_name: Mapping[str, Policy]
    default: str | None
    advised: bool = True


class MirrorTables:
    """Reads them once."""

    def __init__(
        self,
        files: Sequence[ConfigFile],
        credentials: Collection[str],
        policies: Policies,
        found: Findings,
        *,
        offline: bool,
    ) -> None:
        """What is found goes into *found*; mirrors may refer to *credentials*, which are names, and
        to *policies*.

        *offline*: all of them are.
        """
        self._offline = offline
        self._doubts: dict[str, tuple[str, ...]] = {}
        self._files = files
        self._credentials = credentials
        self._policies = policies
        self._found = found

    def read(
        self, made: ConfigFile | None = None
    ) -> tuple[tuple[Mirror, ...], tuple[Written, ...]]:
        """The mirrors of all files, the usual ones where none says anything of mirrors, and those
        of the file *made* at run time; and all tables as they are written.
        """
        tables = [table for file in self._files for table in self._tables(file)]
        if not any("mirror" in file.content for file in self._files):
            tables = [_Table("mirror", table, lambda _: DEFAULT) for table in DEFAULT_MIRRORS]
        found: dict[str, tuple[Mirror, _Table]] = {}
        self._add(tables, found)
        configured, shadowed = frozenset(found), []
        if made is not None:
            at_run_time = list(self._tables(made))
            shadowed = [table for table in at_run_time if table.key in configured]
            self._add([table for table in at_run_time if table.key not in configured], found)
        self._check_places(found)
        since = frozen(made)
        written = [
            Written(
                key=key,
                made=key not in configured,
                values=self._values(key, table),
                doubts=self._doubts[key],
            )
            for key, (_, table) in found.items()
        ]
        written += [
            Written(key=table.key, made=True, shadowed=True, values=shown(table.content))
            for table in shadowed
        ]
        mirrors = (replace(mirror, frozen_at=since.get(key)) for key, (mirror, _) in found.items())
        return tuple(mirrors), tuple(written)

    def _add(self, tables: Iterable[_Table], found: dict[str, tuple[Mirror, _Table]]) -> None:
        for table in tables:
            mirror = self._mirror(table)
            if mirror is None:
                continue
            if mirror.key in found:
                first = found[mirror.key][1].at("name")
                self._found.wrong.append(
                    f"{table.at('name')}: {mirror.key} is already given at {first}"
                )
            found.setdefault(mirror.key, (mirror, table))

    def _check_places(self, found: Mapping[str, tuple[Mirror, _Table]]) -> None:
        mirrors = [mirror for mirror, _ in found.values()]
        for mirror, table in found.values():
            if problem := checks.wrong_place(mirror, mirrors):
                self._found.wrong.append(f"{table.at('name')}: {table.shown}, name: {problem}")

    def _values(self, key: str, table: _Table) -> dict[str, Any]:
        return {name: self._found.values[f"mirror.{key}.{name}"] for name in table.content}

    def _tables(self, file: ConfigFile) -> Iterator[_Table]:
        tables = file.content.get("mirror", [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            self._found.wrong.append(f"{file.at('mirror')}: mirror: write [[mirror]] tables")
            return
        for number, table in enumerate(tables):

            def at(key: str, number: int = number) -> str:
                return file.at("mirror", number, key)

            yield _Table(_called(table), table, at)

    def _mirror(self, table: _Table) -> Mirror | None:
        before = len(self._found.wrong)
        known = [key.name for key in MIRROR]
        for name in table.content.keys() - known:
            self._found.unknown(table.at(name), f"{table.shown}, {name}", name, known)
        prefix = f"mirror.{table.key}"
        values = {key.name: self._mirror_value(table, key, prefix) for key in MIRROR}
        found = (*_problems(values, self._credentials), *active.problems(values))
        for key, problem in found:
            self._found.wrong.append(f"{table.at(key)}: {table.shown}, {key}: {problem}")
        if len(self._found.wrong) > before:
            return None
        policy = self._policy(table, values)
        if len(self._found.wrong) > before:
            return None
        doubts = tuple(active.doubts(values))
        self._doubts[table.key] = tuple(f"{key}: {doubt}" for key, doubt in doubts)
        self._found.doubtful += [
            f"{table.at(key)}: {table.shown}, {key}: {doubt}" for key, doubt in doubts
        ]
        return mirror_of(values, policy, offline=self._offline)

    def _policy(self, table: _Table, values: Mapping[str, Any]) -> Policy | None:
        """What holds for the mirror; what is wrong about that is noted."""
        named, kind = values["policy"], values["type"]
        if values["include"] and not values["exclude"]:
            self._wrong(table, "include", "lists exceptions to exclude, and there is no exclude")
        if named is None and kind == "files" and not values["exclude"]:
            return None  # the policy for all cannot be about files of which nothing is known
        key = "exclude" if named is None and values["exclude"] else "policy"
        name = named or (self._policies.default if kind != "files" else None)
        if name is not None and (problem := missing(name, self._policies.by_name)):
            self._wrong(table, "policy", problem)
            return None
        policy = None if name is None else self._policies.by_name.get(name)
        shown = f"{kind}/{values['name']}"
        whole = filtered(policy, shown, values["exclude"], values["include"])
        if whole is not None:
            for problem in misfits(whole, kind, advised=self._policies.advised):
                self._wrong(table, key, problem)
        return whole

    def _wrong(self, table: _Table, key: str, problem: str) -> None:
        self._found.wrong.append(f"{table.at(key)}: {table.shown}, {key}: {problem}")

    def _mirror_value(self, table: _Table, key: Key, prefix: str) -> Any:
        at, where = table.at(key.name), f"{table.at(key.name)}: {table.shown}, {key.name}"
        if key.name in REQUIRED and key.name not in table.content:
            self._found.wrong.append(
                f"{where}: is missing; write {key.name} = {_EXAMPLES[key.name]}"
            )
        default = key.default_for(table.content.get("type"))
        raw = table.content.get(key.name, default)
        origin = at if key.name in table.content else DEFAULT
        return self._found.checked(f"{prefix}.{key.name}", key, raw, where, origin)


def _called(table: Mapping[str, Any]) -> str:
    """A mirror's table in messages; a name that is none may be anything, even a secret."""
    name = table.get("name")
    good = isinstance(name, str) and checks.wrong_name(name) is None
    return f"mirror {name}" if good else "mirror"


def _problems(values: Mapping[str, Any], credentials: Collection[str]) -> Iterator[tuple[str, str]]:
    """Keys of a mirror with what is wrong about their values, which are of the right kinds."""
    name, kind, source = values["name"], values["type"], values["source"]
    if name is not None and (problem := checks.wrong_name(name)):
        yield "name", problem
    if kind is not None and source is not None and (problem := checks.wrong_source(kind, source)):
        yield "source", problem
    named = values["credentials"]
    if named is not None and named not in credentials:
        # Not repeated: it may be the secret itself, put in the wrong place.
        known = ", ".join(sorted(credentials)) or "none"
        yield "credentials", f"there is no [credentials.<name>] table of that name; known: {known}"
    low, high = values["fresh_min"], values["fresh_max"]
    if low is not None and high is not None and low > high:
        yield "fresh_min", f"must not be greater than fresh_max, {high:g} seconds"
