"""What to write where so that a client uses this server: lines to copy, for each client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.core.model import Mirror
from proxy.core.urls import redacted

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Lines to copy, and what they are for."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client, with one way or several."""

    name: str
    snippets: Sequence[Snippet]


def clients(mirrors: Iterable[Mirror], address: str) -> list[Client]:
    """Those that *mirrors*, served at *address* (`http://host:port`), are of use to."""
    by_type: dict[str, list[Mirror]] = {}
    for mirror in mirrors:
        by_type.setdefault(mirror.type, []).append(mirror)
    found: list[Client] = []
    if "conda" in by_type:
        found += _conda(by_type["conda"], address)
    if "pypi" in by_type:
        found += _pypi(by_type["pypi"][0], address)
    if "cran" in by_type:
        found += _cran(by_type["cran"][0], address)
    return found


def commands(mirrors: Iterable[Mirror], address: str) -> list[str]:
    """The shortest ones: those that point clients at the first mirror of each type."""
    first: dict[str, Mirror] = {}
    for mirror in mirrors:
        first.setdefault(mirror.type, mirror)
    lines: list[str] = []
    if "conda" in first:
        lines.append(_alias(address))
    if "pypi" in first:
        index = _index(first["pypi"], address)
        lines += [*_by_pip(index), _by_uv(index)]
    if "cran" in first:
        lines.append(f"in R: {_in_r(first['cran'], address)}")
    return lines


def _conda(mirrors: Sequence[Mirror], address: str) -> Iterator[Client]:
    names = [mirror.name for mirror in mirrors]
    channels = [name for name in names if "/" not in name]
    first = "conda-forge" if "conda-forge" in channels else channels[0] if channels else names[0]
    defaults = [name for name in ("main", "r", "msys2") if name in names]
    condarc = [f"channel_alias: {address}/conda", "channels:", f"  - {first}"]
    if defaults:
        condarc += ["default_channels:", *(f"  - {address}/conda/{name}" for name in defaults)]
    yield Client(
        name="conda, mamba, micromamba",
        snippets=(
            Snippet(title="In ~/.condarc", text="\n".join(condarc)),
            Snippet(
                title="Or by command",
                text=_alias(address),
            ),
            Snippet(
                title="For one installation",
                text=f"conda install --override-channels -c {address}/conda/{first} numpy",
            ),
        ),
    )
    places: dict[str, list[str]] = {}
    for mirror in mirrors:
        if redacted(mirror.source) == mirror.source:  # a secret is nobody's to copy
            places.setdefault(mirror.source.rstrip("/"), []).append(f'"{address}/{mirror.key}"')
    # A key may stand in a TOML table once: mirrors of one source are tried in order.
    rows = [f'"{source}" = [{", ".join(urls)}]' for source, urls in places.items()]
    if rows:
        text = "\n".join(["[mirrors]", *rows])
        yield Client(name="pixi", snippets=(Snippet(title="In ~/.pixi/config.toml", text=text),))


def _pypi(mirror: Mirror, address: str) -> Iterator[Client]:
    index = _index(mirror, address)
    conf = ["[global]", f"index-url = {index}"]
    if (host := _distrusted(index)) is not None:
        conf.append(f"trusted-host = {host}")
    yield Client(
        name="pip",
        snippets=(
            Snippet(title="In pip.conf", text="\n".join(conf)),
            Snippet(title="Or by command", text="\n".join(_by_pip(index))),
        ),
    )
    yield Client(
        name="uv",
        snippets=(
            Snippet(
                title="In uv.toml, or under [tool.uv] in pyproject.toml",
                text=f'[[index]]\nurl = "{index}"\ndefault = true',
            ),
            Snippet(title="Or in the environment", text=_by_uv(index)),
        ),
    )


def _cran(mirror: Mirror, address: str) -> Iterator[Client]:
    install = f'install.packages("jsonlite", repos = "{address}/{mirror.key}")'
    yield Client(
        name="R",
        snippets=(
            Snippet(title="In ~/.Rprofile", text=_in_r(mirror, address)),
            Snippet(title="For one installation", text=install),
        ),
    )


# -- single lines ------------------------------------------------------------------------


def _alias(address: str) -> str:
    return f"conda config --set channel_alias {address}/conda"


def _index(mirror: Mirror, address: str) -> str:
    return f"{address}/{mirror.key}/simple/"


def _by_pip(index: str) -> Iterator[str]:
    yield f"pip config set global.index-url {index}"
    if (host := _distrusted(index)) is not None:
        yield f"pip config set global.trusted-host {host}"


def _distrusted(index: str) -> str | None:
    """The host of *index*, where pip would not trust it without being told to.

    pip takes an index over plain http for safe on this machine only.
    """
    parts = urlsplit(index)
    host = parts.hostname or ""
    return None if parts.scheme == "https" or host in _LOOPBACK else host


def _by_uv(index: str) -> str:
    return f"export UV_DEFAULT_INDEX={index}"


def _in_r(mirror: Mirror, address: str) -> str:
    return f'options(repos = c(CRAN = "{address}/{mirror.key}"))'
