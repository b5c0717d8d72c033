"""Settings from files, the environment and the command line, each value with its origin.

Later ones win: defaults, files, `PKGPROXY_<SECTION>__<KEY>` variables, flags. Two files that say
different things are an error. All that is wrong is reported at once, each error with its file,
line, key and what to write instead, and never with a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.admin import open_doors
from proxy.config.credentials import KINDS, Credential, resolve
from proxy.config.declared import AUTH_FILE, OFFLINE, POLICY, SECTIONS
from proxy.config.doubts import doubts_of
from proxy.config.files import ConfigFile, paths
from proxy.config.findings import DEFAULT, Findings
from proxy.config.key import Key
from proxy.config.listening import unsuitable
from proxy.config.mirror_tables import MirrorTables, Policies
from proxy.config.policies import missing, read_all
from proxy.config.settings import Settings, settings_of
from proxy.config.written import made_file
from proxy.core.policy import Policy
from proxy.errors import ConfigError

PREFIX = "PKGPROXY_"
"""What the names of environment variables begin with."""

SECRET = "***"  # noqa: S105 - what is shown instead of one
"""What is shown for a secret."""

_TOP = (*SECTIONS, "auth_file", "policy", "offline", "credentials", "mirror")


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


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Flag] | None = None,
    *,
    made: str | None = None,
) -> Loaded:
    """Read and check everything. *flags* are by dotted key. Raises ConfigError.

    *made* is taken for the content of the file of mirrors made at run time (`written.MADE`).
    """
    return _Loading(environ, flags or {}, made).run(path)


class _Loading:
    """One reading, collecting what is wrong."""

    def __init__(
        self, environ: Mapping[str, str], flags: Mapping[str, Flag], made: str | None
    ) -> None:
        self._environ = environ
        self._made = made
        self._flags = flags
        self._files: list[ConfigFile] = []
        self._named: dict[str, str] = {}  # credentials, right or wrong, and where they are given
        self._found = Findings()

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
        together = (
            *(("server", *one) for one in unsuitable(sections["server"])),
            *(("admin", *one) for one in open_doors(sections["admin"], credentials)),
        )
        for section, name, problem in together:
            if (
                name == "credentials"
                and sections[section][name] in self._named.keys() - credentials
            ):
                continue  # what is wrong with them has been said
            dotted = f"{section}.{name}"
            self._found.wrong.append(f"{self._found.origins[dotted]}: {dotted}: {problem}")
        by_name = read_all(path, self._found)
        policies = Policies(
            by_name=by_name,
            default=self._policy(by_name),
            advised=sections["advisories"]["osv"] is not None,
        )
        offline = self._value("offline", OFFLINE) is True
        tables = MirrorTables(self._files, self._named, policies, self._found, offline=offline)
        layers = sections["cache"]["path"] or ()
        mirrors, written = tables.read(
            *(made_file(one, self._made, self._found) for one in layers[:1])
        )
        if self._found.wrong:
            raise ConfigError("\n".join(self._found.wrong))
        origins = self._found.origins
        self._found.doubtful += doubts_of(sections, origins, by_name.values(), mirrors)
        return Loaded(
            settings=settings_of(
                sections,
                auth_file,
                credentials,
                mirrors,
                by_name,
                written=written,
                doubts=tuple(self._found.doubtful),
            ),
            origins=self._found.origins,
            values=self._found.values,
            files=tuple(file.path for file in self._files),
        )

    def _policy(self, known: Mapping[str, Policy]) -> str | None:
        """The name of the policy for all mirrors; where it is none, no mirror is to blame."""
        name: str | None = self._value("policy", POLICY)
        problem = None if name is None else missing(name, known)
        if problem is None:
            return name
        self._found.wrong.append(f"{self._found.origins['policy']}: policy: {problem}")
        return None

    def _read(self, path: Path) -> None:
        file = self._found.caught(lambda: ConfigFile.read(path))
        if file is None:
            return
        self._files.append(file)
        for key, value in file.content.items():
            if key not in _TOP:
                self._found.unknown(file.at(key), key, key, _TOP)
            elif key in SECTIONS and not isinstance(value, dict):
                self._found.wrong.append(f"{file.at(key)}: {key}: write a table, [{key}]")
            elif key in SECTIONS:
                known = [one.name for one in SECTIONS[key]]
                for name in value.keys() - known:
                    self._found.unknown(file.at(key, name), f"{key}.{name}", name, known)

    # -- single settings -----------------------------------------------------------------

    def _value(self, dotted: str, key: Key) -> Any:
        raw, origin = self._given(dotted, key)
        return self._found.checked(dotted, key, raw, f"{origin}: {dotted}", origin)

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
                self._found.wrong.append(f"{at}: {dotted}: is set to something else at {found[1]}")
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
        known = {_variable(dotted) for dotted in self._found.origins}
        for name in sorted(self._environ):
            if name.startswith(PREFIX) and "__" in name and name not in known:
                self._found.unknown("environment", name, name, sorted(known))

    # -- credentials ---------------------------------------------------------------------

    def _credentials(self) -> dict[str, Credential]:
        found: dict[str, Credential] = {}
        for file in self._files:
            tables = file.content.get("credentials", {})
            if not isinstance(tables, dict):
                self._found.wrong.append(
                    f"{file.at('credentials')}: write [credentials.<name>] tables"
                )
                continue
            for name, table in tables.items():
                at = file.at("credentials", name)
                where = f"{at}: credentials.{name}"
                if name in self._named:
                    self._found.wrong.append(f"{where}: is already given at {self._named[name]}")
                    continue
                self._named[name] = at
                credential = self._credential(name, table, file)
                if credential is not None:
                    found[name] = credential
        return found

    def _credential(self, name: str, table: Any, file: ConfigFile) -> Credential | None:
        at, where = file.at("credentials", name), f"credentials.{name}"
        if not isinstance(table, dict):
            self._found.wrong.append(f"{at}: {where}: write a table, [{where}]")
            return None
        try:
            credential = resolve(table, where, self._environ)
        except ConfigError as error:
            self._found.wrong += [f"{at}: {line}" for line in str(error).splitlines()]
            return None
        for key, value in table.items():
            secret = key in KINDS[table["kind"]] and key not in ("username", "name")
            self._found.values[f"{where}.{key}"] = SECRET if secret else value
            self._found.origins[f"{where}.{key}"] = file.at("credentials", name, key)
        return credential


def _variable(dotted: str) -> str:
    return PREFIX + dotted.upper().replace(".", "__")
