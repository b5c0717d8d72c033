"""Settings from every source, with their origins; all errors at once, with their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import Flag, load
from proxy.config.credentials import Bearer
from proxy.config.declared import MIRROR, SECTIONS, UPSTREAM
from proxy.config.upstream_settings import UpstreamSettings
from proxy.core.model import Bounds, Mode
from proxy.errors import ConfigError

SECRET = "hunter2-hunter2"
MIRROR_TABLE = '[[mirror]]\ntype = "conda"\nname = "lab"\nsource = "https://host.example.org/lab"\n'


def _write(folder: Path, text: str, name: str = "pkgproxy.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def _errors(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return str(caught.value).splitlines()


# -- defaults ------------------------------------------------------------------------------


def test_nothing_at_all_serves_the_usual_mirrors() -> None:
    loaded = load(None, {})
    assert [mirror.key for mirror in loaded.settings.mirrors] == [
        "conda/conda-forge",
        "conda/main",
        "conda/r",
        "conda/msys2",
        "pypi/pypi",
        "cran/cran",
    ]
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("127.0.0.1", 8080)
    assert loaded.settings.mirrors[-2].source == "auto"
    assert set(loaded.origins.values()) == {"default"}


def test_the_defaults_of_the_table_are_those_of_the_types() -> None:
    loaded = load(None, {})
    assert loaded.settings.upstream == UpstreamSettings()
    assert loaded.settings.mirrors[0].bounds == Bounds()
    assert [key.name for key in UPSTREAM] == [one.name for one in fields(UpstreamSettings)]
    assert {one.name for one in fields(Bounds)} < {key.name for key in MIRROR}


def test_offline_is_for_all_mirrors_or_for_one(tmp_path: Path) -> None:
    one = 'type = "files"\nsource = "https://files.example.org/"\n'
    text = f'[[mirror]]\nname = "a"\n{one}offline = true\n[[mirror]]\nname = "b"\n{one}'
    path = tmp_path / "pkgproxy.toml"
    path.write_text(text)
    assert [mirror.offline for mirror in load(path, {}).settings.mirrors] == [True, False]
    for environ, flags in (
        ({"PKGPROXY_OFFLINE": "true"}, {}),
        ({}, {"offline": Flag(option="--offline", value=True)}),
    ):
        settings = load(path, environ, flags).settings
        assert all(mirror.offline for mirror in settings.mirrors)


def test_the_cache_follows_xdg_cache_home() -> None:
    loaded = load(None, {"XDG_CACHE_HOME": "/caches/"})
    assert loaded.settings.cache.path == Path("/caches/pkgproxy")
    assert loaded.origins["cache.path"] == "XDG_CACHE_HOME"


def test_a_relative_xdg_cache_home_is_ignored() -> None:
    assert load(None, {"XDG_CACHE_HOME": "caches"}).origins["cache.path"] == "default"


def test_the_auth_file_follows_rattler_auth_file() -> None:
    loaded = load(None, {"RATTLER_AUTH_FILE": "/etc/auth.json"})
    assert loaded.settings.auth_file == Path("/etc/auth.json")
    assert loaded.origins["auth_file"] == "RATTLER_AUTH_FILE"


# -- what wins, and where it is from -------------------------------------------------------


def test_flags_win_over_the_environment_over_files_over_defaults(tmp_path: Path) -> None:
    path = _write(tmp_path, "[server]\nport = 1\nworkers = 2\nhost = 'a'\n")
    environ = {"PKGPROXY_SERVER__PORT": "3", "PKGPROXY_SERVER__WORKERS": "4"}
    flags = {
        "server.port": Flag(option="--port", value=5),
        "server.host": Flag(option="--host", value=None),
        "cache.path": Flag(option="--cache", value="/c"),
    }
    loaded = load(path, environ, flags)
    server = loaded.settings.server
    assert (server.port, server.workers, server.host) == (5, 4, "a")
    assert {key: loaded.origins[key] for key in _KEYS} == {
        "server.port": "--port",
        "server.workers": "PKGPROXY_SERVER__WORKERS",
        "server.host": f"{path}:4",
        "server.drain_timeout": "default",
        "cache.path": "--cache",
    }
    assert loaded.files == (path,)


_KEYS = ("server.port", "server.workers", "server.host", "server.drain_timeout", "cache.path")


def test_every_setting_of_a_section_can_come_from_the_environment() -> None:
    shown = load(None, {}).values
    environ = {
        f"PKGPROXY_{section}__{key.name}".upper(): _spelt(shown[f"{section}.{key.name}"])
        for section, keys in SECTIONS.items()
        for key in keys
        if key.default is not None
    }
    loaded = load(None, environ)
    assert loaded.settings == load(None, {}).settings
    assert set(environ) <= set(loaded.origins.values())


def _spelt(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def test_variables_without_a_section_are_others_business() -> None:
    load(None, {"PKGPROXY_TEST_DATA": "/data", "PKGPROXY_AUTH_FILE": "/auth.json"})


def test_a_loaded_mirror_is_what_was_written(tmp_path: Path) -> None:
    text = f"""{MIRROR_TABLE}
mode = "passive"
credentials = "mine"
allow_hosts = ["files.example.org"]
fresh_min = "5s"
fresh_max = 60
fresh_default = "30s"
stale_while_revalidate = 0
stale_if_error = "1w"
negative = "1m"
[credentials.mine]
kind = "bearer"
token = "{SECRET}"
"""
    loaded = load(_write(tmp_path, text), {})
    (mirror,) = loaded.settings.mirrors
    assert mirror.source == "https://host.example.org/lab/"
    assert mirror.mode is Mode.PASSIVE
    assert mirror.allow_hosts == {"files.example.org"}
    assert mirror.bounds == Bounds(
        fresh_min=5,
        fresh_max=60,
        fresh_default=30,
        stale_while_revalidate=0,
        stale_if_error=604800,
        negative=60,
    )
    assert loaded.settings.credentials == {"mine": Bearer(token=SECRET)}
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.values)


# -- several files -------------------------------------------------------------------------


def test_the_files_of_conf_d_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = _write(tmp_path, "[server]\nport = 1\n")
    _write(tmp_path, MIRROR_TABLE.replace("lab", "b"), "conf.d/20.toml")
    _write(tmp_path, MIRROR_TABLE.replace("lab", "a"), "conf.d/10.toml")
    _write(tmp_path, "[server]\nport = 1\nworkers = 3\n", "conf.d/30.toml")
    _write(tmp_path, "not toml", "conf.d/.#40.toml")
    _write(tmp_path, "not toml", "conf.d/50.toml.bak")
    loaded = load(path, {})
    assert [mirror.name for mirror in loaded.settings.mirrors] == ["a", "b"]
    assert (loaded.settings.server.port, loaded.settings.server.workers) == (1, 3)
    assert [file.name for file in loaded.files] == [
        "pkgproxy.toml",
        "10.toml",
        "20.toml",
        "30.toml",
    ]
    assert loaded.origins["server.port"] == f"{path}:2"


def test_files_that_contradict_each_other_are_both_named(tmp_path: Path) -> None:
    path = _write(tmp_path, f"[server]\nport = 1\n{MIRROR_TABLE}[credentials.a]\nkind = 'bearer'\n")
    other = _write(
        tmp_path,
        f"{MIRROR_TABLE}[server]\n\nport = 2\n[credentials.a]\nkind = 'bearer'\n",
        "conf.d/x.toml",
    )
    text = "\n".join(_errors(path))
    assert f"{other}:7: server.port: is set to something else at {path}:2" in text
    assert f"{other}:3: conda/lab is already given at {path}:5" in text
    assert f"{other}:8: credentials.a: is already given at {path}:7" in text


def test_loading_again_sees_what_changed(tmp_path: Path) -> None:
    path = _write(tmp_path, MIRROR_TABLE)
    assert len(load(path, {}).settings.mirrors) == 1
    _write(tmp_path, MIRROR_TABLE.replace("lab", "more"), "conf.d/more.toml")
    assert len(load(path, {}).settings.mirrors) == 2


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[server]\nprt = 1", 2, "server.prt: there is no such setting; did you mean port?"),
        ("\n[sever]\nport = 1", 2, "sever: there is no such setting; did you mean server?"),
        ("zzz = 1", 1, "zzz: there is no such setting; known are server, cache,"),
        ("server = 1", 1, "server: write a table, [server]"),
        ("[server]\n\nport = 70000", 3, "server.port: write a whole number from 0 to 65535"),
        ("[server]\nport = '80'", 2, "server.port: write a whole number"),
        ("server.port = 'x'", 1, "server.port: write a whole number"),
        ("server = {host = 'a', port = 'x'}", 1, "server.port: write a whole number"),
        ("[log]\nformat = 'xml'", 2, "log.format: 'xml' is unknown; write"),
        ("auth_file = 'here'", 1, "auth_file: write an absolute path"),
        ("[upstream]\nread_timeout = 0", 2, "upstream.read_timeout: write a duration from 1ms"),
        ("credentials = 1", 1, "write [credentials.<name>] tables"),
        ("[credentials]\na = 1", 2, "credentials.a: write a table, [credentials.a]"),
        ("[credentials.'x.y']\nkind = 'x'", 1, "credentials.x.y.kind must be one of"),
        ("[mirror]\ntype = 'conda'", 1, "mirror: write [[mirror]] tables"),
        ("[[mirror]]\n\n", 1, 'mirror, type: is missing; write type = "conda"'),
        (MIRROR_TABLE.replace("source", "sauce"), 4, "mirror lab, sauce: there is no such setting"),
        (MIRROR_TABLE.replace("source", "sauce"), 1, "mirror lab, source: is missing; write"),
        (MIRROR_TABLE.replace('"conda"', '"cnda"'), 2, "mirror lab, type: 'cnda' is unknown"),
        (MIRROR_TABLE.replace("lab", "A B", 1), 3, "mirror, name: a name is made of lower-case"),
        (MIRROR_TABLE.replace("https", "gopher"), 4, "mirror lab, source: write a URL"),
        (f"{MIRROR_TABLE}mode = 'lazy'", 5, "mirror lab, mode: 'lazy' is unknown; write"),
        (f"{MIRROR_TABLE}fresh_min = '2h'", 5, "fresh_min: must not be greater than fresh_max"),
        (f"{MIRROR_TABLE}credentials = 'x'", 5, "credentials: there is no [credentials.<name>]"),
        (MIRROR_TABLE * 2, 7, "conda/lab is already given at"),
        (MIRROR_TABLE + MIRROR_TABLE.replace("lab", "lab/noarch", 1), 7, "would hide files"),
    ],
)
def test_each_error_says_where_and_what_to_write(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = _write(tmp_path, text)
    found = [error for error in _errors(path) if said in error]
    assert [error.partition(f"{path}:")[2].partition(":")[0] for error in found] == [str(line)]


@pytest.mark.parametrize(
    "text",
    [
        f"policy = 'lazy'\n{MIRROR_TABLE}{MIRROR_TABLE.replace('lab', 'lob')}",
        f"[credentials.lazy]\nkind = 'bearer'\n{MIRROR_TABLE}credentials = 'lazy'",
        "[credentials.lazy]\nkind = 'bearer'\n[admin]\nsocket = '/s'\ncredentials = 'lazy'",
    ],
)
def test_what_only_refers_to_what_is_wrong_is_not_to_blame(tmp_path: Path, text: str) -> None:
    (error,) = _errors(_write(tmp_path, text))
    assert error.startswith(f"{tmp_path / 'pkgproxy.toml'}:1: ")


def test_a_file_that_is_not_toml_says_its_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "[server]\nport = = 1\n")
    assert _errors(path) == [f"{path}: is not TOML: Invalid value (at line 2, column 8)"]


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    path = _write(tmp_path, "\ufeff[server]\nprt = 1\n")
    assert _errors(path)[0].startswith(f"{path}:2: server.prt: ")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert _errors(tmp_path / "none.toml") == [
        f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    ]
    (tmp_path / "bad.toml").write_bytes(b"# \xff")
    assert _errors(tmp_path / "bad.toml") == [
        f"{tmp_path / 'bad.toml'}: is not UTF-8 text; save it as that"
    ]
    deep = _write(tmp_path, "a = " + "[" * 100_000, "deep.toml")
    assert _errors(deep) == [f"{deep}: is nested too deeply"]


def test_all_errors_of_all_files_are_reported_together(tmp_path: Path) -> None:
    path = _write(tmp_path, "[server]\nport = -1\nhots = 'x'\n[log]\nlevel = 'loud'\n")
    _write(tmp_path, "[[mirror]]\nname = 'a'\ntype = 'conda'\n", "conf.d/a.toml")
    _write(tmp_path, "[", "conf.d/b.toml")
    assert len(_errors(path, {"PKGPROXY_SERVER__WORKERS": "no"})) == 6


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PKGPROXY_SERVER__PORT", "http", "PKGPROXY_SERVER__PORT: server.port: write a whole"),
        ("PKGPROXY_SERVER__PROT", "1", "did you mean PKGPROXY_SERVER__PORT?"),
        ("XDG_CACHE_HOME", "/a\nb", "XDG_CACHE_HOME: cache.path: write it without line ends"),
    ],
)
def test_errors_of_the_environment_name_the_variable(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {name: value})
    assert said in str(caught.value)


def test_a_wrong_flag_is_called_as_it_was_typed() -> None:
    with pytest.raises(ConfigError, match=r"^--port: server\.port: write a whole number"):
        load(None, {}, {"server.port": Flag(option="--port", value=-1)})


@pytest.mark.parametrize(
    "text",
    [
        MIRROR_TABLE.replace('"lab"', f'"{SECRET} X"'),
        MIRROR_TABLE.replace("https://", f"https://me:{SECRET}/@"),
        MIRROR_TABLE.replace("https://", f"gopher://me:{SECRET}@"),
        MIRROR_TABLE.replace("/lab", f"/t/{SECRET}/lab/noarch"),
        MIRROR_TABLE.replace("/lab", f"/lab?token={SECRET}"),
        f"{MIRROR_TABLE}credentials = '{SECRET}'",
        f"{MIRROR_TABLE}[credentials.mine]\nkind = 'bearer'\ntoken = ['{SECRET}']",
        f"{MIRROR_TABLE}[credentials.mine]\nkind = 'bearer'\ntoken_env = '{SECRET}'",
        f"{MIRROR_TABLE}[credentials.mine]\nkind = 'bearer'\ntoken = '{SECRET}\" = ]",
    ],
)
def test_no_error_holds_a_secret(tmp_path: Path, text: str) -> None:
    errors = "\n".join(_errors(_write(tmp_path, text)))
    assert errors
    assert SECRET not in errors


_VALUES = st.sampled_from(
    ["1", "-1", "0.5", "true", '"x"', '""', "[]", "[1]", "{}", "{a = 1}", "inf", "nan", "07:32:00"]
)
_NAMES = st.sampled_from(
    [
        *(f"{section}.{key.name}" for section, keys in SECTIONS.items() for key in keys),
        *("auth_file", "credentials.a.kind", "credentials.a.token", "mirror", "credentials"),
    ]
)
_LINES = st.builds("{} = {}".format, _NAMES, _VALUES)
_MIRROR_LINES = st.builds("{} = {}".format, st.sampled_from([k.name for k in MIRROR]), _VALUES)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(_LINES, max_size=4), table=st.lists(_MIRROR_LINES, max_size=4))
def test_whatever_stands_in_a_file_it_loads_or_says_why(
    tmp_path: Path, lines: list[str], table: list[str]
) -> None:
    text = "\n".join([*lines, "[[mirror]]", *table])
    path = _write(tmp_path, text)
    assert all(line.startswith(str(path)) for line in _said_of(path))


def _said_of(path: Path) -> list[str]:
    try:
        load(path, {})
    except ConfigError as error:
        return str(error).splitlines()
    return []


# -- what is likely to be a mistake --------------------------------------------------------

_ACTIVE = '[[mirror]]\ntype = "{kind}"\nname = "lab"\nmode = "active"\nplatforms = {platforms}\n'


@pytest.mark.parametrize(
    ("kind", "platforms", "words"),
    [
        ("conda", '["linux-64", "linux64"]', "conda's clients know no platform linux64: did you "),
        ("conda", '["osx_arm64", "win-*"]', "no platform osx_arm64: did you mean osx-arm64"),
        ("pypi", '["linux64"]', "no wheel's platform tag begins like linux64"),
        ("conda", '["linux-64", "noarch", "osx-*"]', None),
        ("pypi", '["win_amd64", "manylinux*"]', None),
        ("cran", '["bin/windows/contrib/4.5"]', None),
    ],
)
def test_platforms_of_a_run_that_nobody_has_are_told_with_their_line(
    tmp_path: Path, kind: str, platforms: str, words: str | None
) -> None:
    table = _ACTIVE.format(kind=kind, platforms=platforms)
    path = _write(tmp_path, f'{table}source = "https://host.example.org/lab"\n')
    doubts = load(path, {}).settings.doubts
    if words is None:
        assert not doubts
        return
    (doubt,) = doubts
    assert doubt.startswith(f"{path}:5: mirror lab, platforms: ")
    assert words in doubt


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[cache]\nmax_size = "100"', "cache.max_size: 100 bytes have hardly room"),
        ("[cache]\nmax_size = '100GB'", None),
        (
            '[access]\npublic = ["conda/lba"]',
            "no mirror is called conda/lba: did you mean conda/lab?",
        ),
        ('[access]\npublic = ["lob"]', "access.public: no mirror is called lob: "),
        ('[access]\npublic = ["conda/lab", "pypi/*", "*"]', None),
        ("[access]\npublic = []", None),
    ],
)
def test_what_has_no_effect_that_anybody_wants_is_doubted(
    tmp_path: Path, table: str, words: str | None
) -> None:
    path = _write(tmp_path, f"{table}\n{MIRROR_TABLE}")
    doubts = load(path, {}).settings.doubts
    if words is None:
        assert not doubts
        return
    (doubt,) = doubts
    assert doubt.startswith(f"{path}:2: ")
    assert words in doubt
