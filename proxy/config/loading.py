"""Settings from files, the environment and the command line, each value with its origin.

Later ones win: defaults, the file, the files of `conf.d` beside it in the order of their names,
`PKGPROXY_<SECTION>__<KEY>` variables, flags. All that is wrong is reported at once, each error
with its file, line, key and what to write instead, and never with a secret.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config import mirrors as checks
from proxy.config.credentials import Credential, resolve
from proxy.config.lines import line_of
from proxy.config.settings import (
    AUTH_FILE,
    DEFAULT_MIRRORS,
    MIRROR,
    SECTIONS,
    Cache,
    Key,
    Logging,
    Server,
    Settings,
    mirror_of,
)
from proxy.config.upstream_settings import UpstreamSettings
from proxy.core.model import Mirror
from proxy.errors import ConfigError

PREFIX = "PKGPROXY_"
"""What the names of environment variables begin with."""

_TOP = (*SECTIONS, "auth_file", "credentials", "mirror")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Checked settings. `origins` says of each dotted key where its value comes from."""

    settings: Settings
    origins: Mapping[str, str]
    values: Mapping[str, Any] = field(repr=False)
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    content: dict[str, Any]

    def at(self, *path: str | int) -> str:
        """`file:line`, or the file alone."""
        line = line_of(self.text, path)
        return f"{self.path}:{line}" if line else str(self.path)


def load(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Loaded:
    """Read and check everything. *flags* maps dotted keys to values. Raises ConfigError."""
    return _Loading(environ, flags or {}).run(path)


class _Loading:
    """One reading, collecting what is wrong."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, Any]) -> None:
        self._environ = environ
        self._flags = flags
        self._wrong: list[str] = []
        self._origins: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def run(self, path: Path | None) -> Loaded:
        files = [file for one in _paths(path) if (file := self._read(one)) is not None]
        for file in files:
            self._check_top(file)
        sections = {name: self._section(name, keys, files) for name, keys in SECTIONS.items()}
        auth_file = self._auth_file(files)
        credentials = self._credentials(files)
        mirrors = self._mirrors(files, credentials)
        self._check_environment()
        if self._wrong:
            raise ConfigError("\n".join(self._wrong))
        settings = Settings(
            server=Server(**sections["server"]),
            cache=Cache(**sections["cache"]),
            log=Logging(**sections["log"]),
            upstream=UpstreamSettings(**sections["upstream"]),
            auth_file=auth_file,
            credentials=credentials,
            mirrors=mirrors,
        )
        return Loaded(
            settings=settings,
            origins=self._origins,
            values=self._values,
            files=tuple(file.path for file in files),
        )

    # -- files ---------------------------------------------------------------------------

    def _read(self, path: Path) -> _File | None:
        try:
            text = path.read_text(encoding="utf-8")
            return _File(path, text, tomllib.loads(text))
        except OSError as error:
            self._wrong.append(f"{path}: cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self._wrong.append(f"{path}: is not UTF-8 text")
        except tomllib.TOMLDecodeError as error:
            self._wrong.append(f"{path}: is not TOML: {error}")
        return None

    def _check_top(self, file: _File) -> None:
        for key, value in file.content.items():
            if key not in _TOP:
                self._unknown(file.at(key), key, key, _TOP)
            elif key in SECTIONS and not isinstance(value, dict):
                self._wrong.append(f"{file.at(key)}: {key}: write a table, [{key}]")
            elif key in SECTIONS:
                known = [one.name for one in SECTIONS[key]]
                for name in value:
                    if name not in known:
                        self._unknown(file.at(key, name), f"{key}.{name}", name, known)

    def _unknown(self, where: str, shown: str, name: str, known: Iterable[str]) -> None:
        close = difflib.get_close_matches(name, list(known), 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        self._wrong.append(f"{where}: {shown}: there is no such setting; {hint}")

    # -- single settings -----------------------------------------------------------------

    def _section(self, name: str, keys: Iterable[Key], files: list[_File]) -> dict[str, Any]:
        return {key.name: self._value(f"{name}.{key.name}", key, files) for key in keys}

    def _value(self, dotted: str, key: Key, files: list[_File]) -> Any:
        raw, origin = self._given(dotted, key, files)
        self._origins[dotted] = origin
        if raw is None:
            self._values[dotted] = None
            return None
        try:
            value = key.kind.read(raw)
        except ValueError as error:
            self._wrong.append(f"{origin}: {dotted}: {error}")
            return None
        self._values[dotted] = value
        return value

    def _given(self, dotted: str, key: Key, files: list[_File]) -> tuple[Any, str]:
        """The raw value that wins, and where it stands."""
        if self._flags.get(dotted) is not None:
            return self._flags[dotted], f"--{key.name}"
        variable = PREFIX + dotted.upper().replace(".", "__")
        if variable in self._environ:
            return self._environ[variable], variable
        section, _, name = dotted.rpartition(".")
        found: tuple[Any, str] | None = None
        for file in files:
            table = file.content.get(section, {}) if section else file.content
            if isinstance(table, dict) and name in table:
                at = file.at(*((section, name) if section else (name,)))
                if found is not None and found[0] != table[name]:
                    self._wrong.append(f"{at}: {dotted}: is already set at {found[1]}")
                found = table[name], at
        return found or self._default(dotted, key)

    def _default(self, dotted: str, key: Key) -> tuple[Any, str]:
        if dotted == "cache.path" and self._environ.get("XDG_CACHE_HOME"):
            return str(Path(self._environ["XDG_CACHE_HOME"]) / "pkgproxy"), "XDG_CACHE_HOME"
        if dotted == "auth_file" and self._environ.get("RATTLER_AUTH_FILE"):
            return self._environ["RATTLER_AUTH_FILE"], "RATTLER_AUTH_FILE"
        return key.default, "default"

    def _auth_file(self, files: list[_File]) -> Path | None:
        value: Path | None = self._value("auth_file", AUTH_FILE, files)
        return value

    def _check_environment(self) -> None:
        known = {PREFIX + dotted.upper().replace(".", "__") for dotted in self._origins}
        for name in self._environ:
            if name.startswith(PREFIX) and "__" in name and name not in known:
                self._unknown("environment", name, name, sorted(known))

    # -- credentials and mirrors ---------------------------------------------------------

    def _credentials(self, files: list[_File]) -> dict[str, Credential]:
        found: dict[str, Credential] = {}
        for file in files:
            tables = file.content.get("credentials", {})
            if not isinstance(tables, dict):
                self._wrong.append(f"{file.at('credentials')}: write [credentials.<name>] tables")
                continue
            for name, table in tables.items():
                where = f"credentials.{name}"
                at = file.at("credentials", name)
                if name in found:
                    self._wrong.append(f"{at}: {where}: is given twice")
                elif not isinstance(table, dict):
                    self._wrong.append(f"{at}: {where}: write a table, [{where}]")
                else:
                    self._credential(found, name, table, at)
        return found

    def _credential(
        self, found: dict[str, Credential], name: str, table: dict[str, Any], at: str
    ) -> None:
        try:
            found[name] = resolve(table, f"credentials.{name}", self._environ)
        except ConfigError as error:
            self._wrong.append(f"{at}: {error}")

    def _mirrors(
        self, files: list[_File], credentials: Mapping[str, Credential]
    ) -> tuple[Mirror, ...]:
        tables = list(self._mirror_tables(files))
        if not tables:
            tables = [("default", dict(table), lambda _: "default") for table in DEFAULT_MIRRORS]
        found: dict[str, tuple[Mirror, str]] = {}
        for shown, table, at in tables:
            mirror = self._mirror(shown, table, at, credentials)
            if mirror is None:
                continue
            if mirror.key in found:
                first = found[mirror.key][1]
                self._wrong.append(f"{at('name')}: {mirror.key} is already given at {first}")
            found[mirror.key] = mirror, at("name")
        return tuple(mirror for mirror, _ in found.values())

    def _mirror_tables(self, files: list[_File]) -> Iterator[tuple[str, dict[str, Any], Any]]:
        for file in files:
            tables = file.content.get("mirror", [])
            if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
                self._wrong.append(f"{file.at('mirror')}: mirror: write [[mirror]] tables")
                continue
            for number, table in enumerate(tables):

                def at(key: str, file: _File = file, number: int = number) -> str:
                    return file.at("mirror", number, key)

                yield f"mirror {table.get('name', number + 1)}", table, at

    def _mirror(
        self, shown: str, table: dict[str, Any], at: Any, credentials: Mapping[str, Credential]
    ) -> Mirror | None:
        before = len(self._wrong)
        known = [key.name for key in MIRROR]
        for name in table:
            if name not in known:
                self._unknown(at(name), f"{shown}, {name}", name, known)
        values = {key.name: self._mirror_value(shown, table, key, at) for key in MIRROR}
        self._check_mirror(shown, values, at, credentials)
        if len(self._wrong) > before:
            return None
        mirror = mirror_of(checks.normalised(values))
        for key in MIRROR:
            dotted = f"mirror.{mirror.key}.{key.name}"
            self._origins[dotted] = at(key.name) if key.name in table else "default"
            self._values[dotted] = values[key.name]
        return mirror

    def _mirror_value(self, shown: str, table: dict[str, Any], key: Key, at: Any) -> Any:
        raw = table.get(key.name, key.default)
        if raw is None:
            if key.name in ("type", "name", "source"):
                self._wrong.append(f"{at(key.name)}: {shown}: {key.name} is missing; {key.help}")
            return None
        try:
            return key.kind.read(raw)
        except ValueError as error:
            self._wrong.append(f"{at(key.name)}: {shown}, {key.name}: {error}")
            return None

    def _check_mirror(
        self, shown: str, values: dict[str, Any], at: Any, credentials: Mapping[str, Credential]
    ) -> None:
        name, kind, source = values["name"], values["type"], values["source"]
        problems = {
            "name": checks.wrong_name(name) if name else None,
            "source": checks.wrong_source(kind, source) if kind and source else None,
        }
        named = values["credentials"]
        if named is not None and named not in credentials:
            problems["credentials"] = f"there is no [credentials.{named}] table"
        low, high = values["fresh_min"], values["fresh_max"]
        if low is not None and high is not None and low > high:
            problems["fresh_min"] = "must not be greater than fresh_max"
        for key, problem in problems.items():
            if problem:
                self._wrong.append(f"{at(key)}: {shown}, {key}: {problem}")


def _paths(path: Path | None) -> Iterator[Path]:
    """The file and those of the `conf.d` folder beside it."""
    if path is None:
        return
    yield path
    folder = path.parent / "conf.d"
    if folder.is_dir():
        yield from sorted(folder.glob("*.toml"))
