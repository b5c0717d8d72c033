"""The reference of all settings as Markdown, made from the tables that files are checked with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.config.declared import AUTH_FILE, MIRROR, OFFLINE, POLICY, SECTIONS
from proxy.config.key import Key
from proxy.config.settings import DEFAULT_MIRRORS

_INTRODUCTION = """\
# Configuration

Made by `pkgproxy config reference` from the code; a test keeps the two the same.

Settings come from, later ones winning: the defaults below; the file given with `--config`; the
files `conf.d/*.toml` beside it, in the order of their names; environment variables
(`PKGPROXY_SERVER__PORT=8081` is `server.port`; lists have commas); command line options.
`pkgproxy config show` prints every value with its origin, `pkgproxy check-config FILE` checks
without serving. Two files that give one setting different values are an error; so are unknown
settings. All errors are reported at once, each with its file and line. SIGHUP reads everything
again; a configuration with an error changes nothing. `config/pkgproxy.toml` is a commented file
with every setting.

A duration is a number of seconds or a text with a unit: `"300ms"`, `"90s"`, `"10m"`, `"12h"`,
`"7d"`. A size is a number of bytes or a text with a unit, decimal or binary: `"50GB"`, `"8GiB"`.
"""

_TITLES = {
    "server": "How clients are served. Needs a restart to change.",
    "cache": "Where bodies and the catalog are kept. Needs a restart to change.",
    "access": "Who may have what (docs/access.md). `public` and `failures` are reloaded.",
    "log": "What is logged, to standard error. Needs a restart to change.",
    "advisories": "Known vulnerabilities, for policies. Needs a restart to change.",
    "admin": "The administration: pages and an API (docs/administration.md). Off unless one of "
    "`listen` and `socket` is given. Needs a restart to change.",
    "upstream": "How upstream servers are spoken to. Needs a restart to change.",
}

_CREDENTIALS = """\
## `[credentials.<name>]`

A credential that mirrors refer to by name. It goes to the host of the mirror's source only. A
secret stands in the table itself, in a file (`token_file`, `password_file`, …) or in an
environment variable (`token_env`, …).

| `kind` | keys | sent as |
|---|---|---|
| `bearer` | `token` | `Authorization: Bearer …` |
| `basic` | `username`, `password` | `Authorization: Basic …` |
| `token` | `token` | `/t/<token>` in front of the path (conda servers) |
| `header` | `name`, `value` | any one header |

Without a named credential a user and password in the source URL are used, then `auth_file`, then
`.netrc` (`$NETRC`, `~/.netrc`, `~/_netrc`), each matched by host, also after a redirect.
"""


def text() -> str:
    """The whole page."""
    return "\n".join(_pieces())


def _pieces() -> Iterator[str]:
    yield _INTRODUCTION
    for name, keys in SECTIONS.items():
        yield f"## `[{name}]`\n\n{_TITLES[name]}\n"
        yield _table(keys)
    yield "## At the top\n"
    yield _table((AUTH_FILE, POLICY, OFFLINE))
    yield _CREDENTIALS
    yield "## `[[mirror]]`\n\nOne table for each mirror. Reloaded on SIGHUP.\n"
    yield _table(MIRROR)
    yield "Where no mirror is configured, these are served:\n"
    yield "| type | name | source |\n|---|---|---|"
    for mirror in DEFAULT_MIRRORS:
        yield f"| {mirror['type']} | {mirror['name']} | `{mirror['source']}` |"
    yield ""


def _table(keys: Iterable[Key]) -> str:
    rows = ["| key | kind | default | meaning |", "|---|---|---|---|"]
    rows += [f"| `{key.name}` | {key.kind.name} | {_default(key)} | {key.help} |" for key in keys]
    return "\n".join([*rows, ""])


def _default(key: Key) -> str:
    default = _literal(key.default)
    return default if key.files is None else f"{default}; `files`: {_literal(key.files)}"


def _literal(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case _:
            return f"`{value}`"
