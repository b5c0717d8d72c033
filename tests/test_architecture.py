"""The rooms import downwards only, the lower ones are pure, and one file speaks to upstream."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "proxy"

ROOMS = (
    *("errors", "core", "ecosystems", "config", "observe", "advisories", "storage", "upstream"),
    *("gateway", "mirror", "web", "app", "cli"),
)
"""Bottom up: a room may import those before it, and itself."""

STRANGERS = {("storage", "upstream"), ("upstream", "storage"), ("observe", "config")}
"""Neighbours that are not to know each other although the order would let them."""

PURE = ("errors", "core", "ecosystems")
IMPURE = {
    *("aiofiles", "aiohttp", "asyncio", "concurrent", "diskcache", "io", "logging"),
    *("multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "signal", "socket"),
    *("sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uvloop"),
}

CLIENTS = {"aiohttp.client", "aiohttp.connector", "http.client", "httpx", "requests", "urllib3"}
CLIENT_NAMES = {"ClientSession", "TCPConnector", "request"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def _named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _room(path: Path) -> str:
    """A file's room; the two at the top, `__init__` and `__main__`, are in none."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(source: str) -> Iterator[str]:
    """Every module that is imported, wherever in the file, with the name taken from it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "a relative import"


def _within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("path", MODULES, ids=_named)
def test_imports_point_down(path: Path) -> None:
    room = _room(path)
    for module in _imports(path.read_text()):
        assert module != "a relative import", "write the whole name"
        top, _, rest = module.partition(".")
        other = rest.partition(".")[0]
        if top != "proxy" or other == "__version__":
            continue
        assert other in ROOMS, f"{module}: {other} is not a room"
        if room in ROOMS:
            assert ROOMS.index(other) <= ROOMS.index(room), f"{room} is below {module}"
            assert (room, other) not in STRANGERS, f"{room} is not to know {module}"


@pytest.mark.parametrize("path", [it for it in MODULES if _room(it) in PURE], ids=_named)
def test_the_lower_rooms_are_pure(path: Path) -> None:
    source = path.read_text()
    for module in _imports(source):
        assert not _within(module, IMPURE), f"{_room(path)} is pure, yet imports {module}"
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert not names & {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("path", MODULES, ids=_named)
def test_only_the_client_speaks_to_upstream(path: Path) -> None:
    # The command line asks this server, not upstream.
    if _named(path).startswith("upstream/") or _named(path) == "cli/remote.py":
        return
    source = path.read_text()
    for module in _imports(source):
        assert not _within(module, CLIENTS), f"{module} is for proxy/upstream alone"
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="aiohttp"), attr=name):
                assert name not in CLIENT_NAMES, f"aiohttp.{name} is for proxy/upstream alone"


@pytest.mark.parametrize("path", MODULES, ids=_named)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    assert not source or ast.get_docstring(ast.parse(source))


def test_every_room_is_in_the_order() -> None:
    rooms = {_room(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= set(ROOMS)


def test_nothing_is_built_at_import() -> None:
    """No event loop, session, pool or open file at the top of a module."""
    built = {"ClientSession", "ProcessPoolExecutor", "ThreadPoolExecutor", "open", "Lock", "Thread"}
    for path in MODULES:
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
                called = {it.func for it in ast.walk(statement) if isinstance(it, ast.Call)}
                names = {getattr(it, "attr", getattr(it, "id", "")) for it in called}
                assert not names & built, f"{_named(path)}: {ast.unparse(statement)[:80]}"
