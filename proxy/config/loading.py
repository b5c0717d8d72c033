"""Settings from files, the environment and the command line, each value with its origin.

Later ones win: defaults, files, `PKGPROXY_<SECTION>__<KEY>` variables, flags. Two files that say
different things are an error. All that is wrong is reported at once, each error with its file,
line, key and what to write instead, and never with a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config import mirrors as checks
from proxy.config.credentials import KINDS, Credential, resolve
from proxy.config.files import ConfigFile, paths
from proxy.config.settings import (
    AUTH_FILE,
    DEFAULT_MIRRORS,
    MIRROR,
    REQUIRED,
    SECTIONS,
    Key,
    Settings,
    mirror_of,
    settings_of,
)
from proxy.core.model import Mirror
from proxy.errors import ConfigError

PREFIX = "PKGPROXY_"
"""What the names of environment variables begin with."""

DEFAULT = "default"
"""The origin of a value that nobody set."""

SECRET = "***"  # noqa: S105 - what is shown instead of one
"""What is shown for a secret."""

_TOP = (*SECTIONS, "auth_file", "credentials", "mirror")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A value from the command line, and how its option is called there."""

    option: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Checked settings.

    `origins` says of each dotted key (`server.port`, `mirror.conda/main.source`) where its value
    comes from; `values` has the value as a file would say it, without secrets.
    """

    settings: Settings
    origins: Mapping[str, str]
    values: Mapping[str, Any] = field(repr=False)
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """A `[[mirror]]` table: what to call it in messages, and where its keys stand."""

    shown: str
    content: Mapping[str, Any]
    at: Callable[[str], str]


def load(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Flag] | None = None
) -> Loaded:
    """Read and check everything. *flags* are by dotted key. Raises ConfigError."""
    return _Loading(environ, flags or {}).run(path)


class _Loading:
    """One reading, collecting what is wrong."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, Flag]) -> None:
        self._environ = environ
        self._flags = flags
        self._files: list[ConfigFile] = []
        self._wrong: list[str] = []
        self._origins: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def run(self, path: Path | None) -> Loaded:
        for one in paths(path):
            self._read(one)
        auth_file = self._value("auth_file", AUTH_FILE)
        sections = {
            name: {key.name: self._value(f"{name}.{key.name}", key) for key in keys}
            for name, keys in SECTIONS.items()
        }
        self._check_environment()
        credentials = self._credentials()
        mirrors = self._mirrors(credentials)
        if self._wrong:
            raise ConfigError("\n".join(self._wrong))
        return Loaded(
            settings=settings_of(sections, auth_file, credentials, mirrors),
            origins=self._origins,
            values=self._values,
            files=tuple(file.path for file in self._files),
        )

    def _read(self, path: Path) -> None:
        try:
            file = ConfigFile.read(path)
        except ConfigError as error:
            self._wrong.append(str(error))
            return
        self._files.append(file)
        for key, value in file.content.items():
            if key not in _TOP:
                self._unknown(file.at(key), key, key, _TOP)
            elif key in SECTIONS and not isinstance(value, dict):
                self._wrong.append(f"{file.at(key)}: {key}: write a table, [{key}]")
            elif key in SECTIONS:
                known = [one.name for one in SECTIONS[key]]
                for name in value.keys() - known:
                    self._unknown(file.at(key, name), f"{key}.{name}", name, known)

    def _unknown(self, where: str, shown: str, name: str, known: Iterable[str]) -> None:
        close = difflib.get_close_matches(name, list(known), 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        self._wrong.append(f"{where}: {shown}: there is no such setting; {hint}")

    # -- single settings -----------------------------------------------------------------

    def _value(self, dotted: str, key: Key) -> Any:
        raw, origin = self._given(dotted, key)
        return self._checked(dotted, key, raw, f"{origin}: {dotted}", origin)

    def _checked(self, dotted: str, key: Key, raw: Any, where: str, origin: str) -> Any:
        """The typed value of *raw*; None where there is none, or it is wrong."""
        self._origins[dotted] = origin
        self._values[dotted] = None
        if raw is None:
            return None
        try:
            value = key.kind.read(raw)
        except ValueError as error:
            self._wrong.append(f"{where}: {error}")
            return None
        self._values[dotted] = key.kind.show(value)
        return value

    def _given(self, dotted: str, key: Key) -> tuple[Any, str]:
        """The raw value that wins, and where it stands."""
        in_files = self._in_files(dotted)
        flag, variable = self._flags.get(dotted), _variable(dotted)
        if flag is not None and flag.value is not None:
            return flag.value, flag.option
        if variable in self._environ:
            return key.kind.parse(self._environ[variable]), variable
        return in_files or self._default(dotted, key)

    def _in_files(self, dotted: str) -> tuple[Any, str] | None:
        section, _, name = dotted.rpartition(".")
        found: tuple[Any, str] | None = None
        for file in self._files:
            table = file.content.get(section) if section else file.content
            if not isinstance(table, dict) or name not in table:
                continue
            at = file.at(*dotted.split("."))
            if found is not None and found[0] != table[name]:
                self._wrong.append(f"{at}: {dotted}: is set to something else at {found[1]}")
            found = found or (table[name], at)
        return found

    def _default(self, dotted: str, key: Key) -> tuple[Any, str]:
        # A relative path is to be ignored there (XDG Base Directory Specification).
        caches = self._environ.get("XDG_CACHE_HOME", "")
        if dotted == "cache.path" and caches.startswith("/"):
            return f"{caches.rstrip('/')}/pkgproxy", "XDG_CACHE_HOME"
        if dotted == "auth_file" and self._environ.get("RATTLER_AUTH_FILE"):
            return self._environ["RATTLER_AUTH_FILE"], "RATTLER_AUTH_FILE"
        return key.default, DEFAULT

    def _check_environment(self) -> None:
        known = {_variable(dotted) for dotted in self._origins}
        for name in sorted(self._environ):
            if name.startswith(PREFIX) and "__" in name and name not in known:
                self._unknown("environment", name, name, sorted(known))

    # -- credentials ---------------------------------------------------------------------

    def _credentials(self) -> dict[str, Credential]:
        found: dict[str, Credential] = {}
        given_at: dict[str, str] = {}
        for file in self._files:
            tables = file.content.get("credentials", {})
            if not isinstance(tables, dict):
                self._wrong.append(f"{file.at('credentials')}: write [credentials.<name>] tables")
                continue
            for name, table in tables.items():
                at = file.at("credentials", name)
                where = f"{at}: credentials.{name}"
                if name in given_at:
                    self._wrong.append(f"{where}: is already given at {given_at[name]}")
                    continue
                given_at[name] = at
                credential = self._credential(name, table, file)
                if credential is not None:
                    found[name] = credential
        return found

    def _credential(self, name: str, table: Any, file: ConfigFile) -> Credential | None:
        at, where = file.at("credentials", name), f"credentials.{name}"
        if not isinstance(table, dict):
            self._wrong.append(f"{at}: {where}: write a table, [{where}]")
            return None
        try:
            credential = resolve(table, where, self._environ)
        except ConfigError as error:
            self._wrong += [f"{at}: {line}" for line in str(error).splitlines()]
            return None
        for key, value in table.items():
            secret = key in KINDS[table["kind"]] and key not in ("username", "name")
            self._values[f"{where}.{key}"] = SECRET if secret else value
            self._origins[f"{where}.{key}"] = file.at("credentials", name, key)
        return credential

    # -- mirrors -------------------------------------------------------------------------

    def _mirrors(self, credentials: Mapping[str, Credential]) -> tuple[Mirror, ...]:
        tables = list(self._tables())
        if not any("mirror" in file.content for file in self._files):
            tables = [_Table("mirror", table, lambda _: DEFAULT) for table in DEFAULT_MIRRORS]
        found: dict[str, tuple[Mirror, _Table]] = {}
        for table in tables:
            mirror = self._mirror(table, credentials)
            if mirror is None:
                continue
            if mirror.key in found:
                first = found[mirror.key][1].at("name")
                self._wrong.append(f"{table.at('name')}: {mirror.key} is already given at {first}")
            found.setdefault(mirror.key, (mirror, table))
        mirrors = [mirror for mirror, _ in found.values()]
        for mirror, table in found.values():
            if problem := checks.wrong_place(mirror, mirrors):
                self._wrong.append(f"{table.at('name')}: {table.shown}, name: {problem}")
        return tuple(mirrors)

    def _tables(self) -> Iterator[_Table]:
        for file in self._files:
            tables = file.content.get("mirror", [])
            if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
                self._wrong.append(f"{file.at('mirror')}: mirror: write [[mirror]] tables")
                continue
            for number, table in enumerate(tables):

                def at(key: str, file: ConfigFile = file, number: int = number) -> str:
                    return file.at("mirror", number, key)

                yield _Table(_called(table), table, at)

    def _mirror(self, table: _Table, credentials: Mapping[str, Credential]) -> Mirror | None:
        before = len(self._wrong)
        known = [key.name for key in MIRROR]
        for name in table.content.keys() - known:
            self._unknown(table.at(name), f"{table.shown}, {name}", name, known)
        prefix = f"mirror.{table.content.get('type')}/{table.content.get('name')}"
        values = {key.name: self._mirror_value(table, key, prefix) for key in MIRROR}
        for key, problem in _problems(values, credentials):
            self._wrong.append(f"{table.at(key)}: {table.shown}, {key}: {problem}")
        return mirror_of(values) if len(self._wrong) == before else None

    def _mirror_value(self, table: _Table, key: Key, prefix: str) -> Any:
        at, where = table.at(key.name), f"{table.at(key.name)}: {table.shown}, {key.name}"
        if key.name in REQUIRED and key.name not in table.content:
            self._wrong.append(f"{where}: is missing; write {key.name} = {_EXAMPLES[key.name]}")
        default = key.default_for(table.content.get("type"))
        raw = table.content.get(key.name, default)
        origin = at if key.name in table.content else DEFAULT
        return self._checked(f"{prefix}.{key.name}", key, raw, where, origin)


_EXAMPLES = {
    "type": '"conda"',
    "name": '"conda-forge"',
    "source": '"https://conda.anaconda.org/conda-forge"',
}


def _variable(dotted: str) -> str:
    return PREFIX + dotted.upper().replace(".", "__")


def _called(table: Mapping[str, Any]) -> str:
    """A mirror's table in messages; a name that is none may be anything, even a secret."""
    name = table.get("name")
    good = isinstance(name, str) and checks.wrong_name(name) is None
    return f"mirror {name}" if good else "mirror"


def _problems(
    values: Mapping[str, Any], credentials: Mapping[str, Credential]
) -> Iterator[tuple[str, str]]:
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
