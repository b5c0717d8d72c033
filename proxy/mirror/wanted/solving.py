"""Conda environments solved by rattler, on the channels that the server shows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rattler import (
    BuildString,
    Channel,
    Client,
    Gateway,
    GenericVirtualPackage,
    PackageName,
    RepoDataRecord,
    Subdir,
    Version,
    VirtualPackage,
    solve,
)
from rattler.exceptions import (
    FetchRepoDataError,
    GatewayError,
    InvalidChannelError,
    InvalidMatchSpecError,
    SolverError,
)
from rattler.networking import AddHeadersMiddleware

from proxy.core.urls import scrubbed
from proxy.errors import ProxyError
from proxy.mirror.wanted.targets import Platform


class Unsolved(ProxyError):
    """No set of packages fits all specs, or a channel cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One package of a solution: its address on the server and its digest."""

    url: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What an environment holds. `python`: the version of Python among it."""

    files: tuple[Record, ...]
    python: str | None


# What other machines than this one are taken to have, as pixi takes it: old enough for those in
# use, new enough for what is built today.
_VIRTUAL: Mapping[str, Mapping[str, str]] = {
    "Linux": {"__unix": "0", "__linux": "4.18", "__glibc": "2.28"},
    "Darwin": {"__unix": "0", "__osx": "13.0"},
    "Windows": {"__win": "0"},
}
_ARCHSPEC = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "osx-64": "x86_64"}
_ARCHSPEC |= {"osx-arm64": "m1", "win-64": "x86_64"}


_NONE: Mapping[str, str] = MappingProxyType({})


class Solver:
    """Reads channels through one gateway, which keeps what it has read in *folder*."""

    def __init__(self, folder: Path, host: str = "", headers: Mapping[str, str] = _NONE) -> None:
        """*headers* are sent to *host*, and to no other that a channel may lead to."""
        told = AddHeadersMiddleware(lambda asked, _path: dict(headers) if asked == host else None)
        self._gateway = Gateway(cache_dir=folder, client=Client([told]))

    async def solve(
        self, channels: Sequence[str], specs: Sequence[str], platform: Platform
    ) -> Solution:
        """What *specs* need from *channels* (addresses) on *platform*. Raises Unsolved."""
        try:
            with warnings.catch_warnings():
                # A channel relation that cannot be followed is the server's business.
                warnings.simplefilter("ignore")
                records = await solve(
                    [Channel(url) for url in channels],
                    list(specs),
                    gateway=self._gateway,
                    platforms=[Subdir(platform.name), Subdir("noarch")],
                    virtual_packages=virtual_packages(platform),
                )
        except (
            SolverError,
            GatewayError,
            FetchRepoDataError,
            InvalidMatchSpecError,
            InvalidChannelError,
        ) as error:
            raise Unsolved(" ".join(scrubbed(str(error)).split())) from error
        return Solution(files=tuple(_record(one) for one in records), python=_python(records))


def virtual_packages(platform: Platform) -> list[GenericVirtualPackage]:
    """What is taken to be there: this machine's own for its platform, else the usual."""
    if platform.name == str(Subdir.current()):
        return [one.into_generic() for one in VirtualPackage.detect()]
    named = dict(_VIRTUAL[platform.system])
    found = [_virtual(name, version, "0") for name, version in named.items()]
    if platform.name in _ARCHSPEC:
        found.append(_virtual("__archspec", "1", _ARCHSPEC[platform.name]))
    return found


def _virtual(name: str, version: str, build: str) -> GenericVirtualPackage:
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _record(record: RepoDataRecord) -> Record:
    sha256 = record.sha256
    return Record(url=record.url, sha256=sha256.hex() if sha256 else None)


def _python(records: Sequence[RepoDataRecord]) -> str | None:
    return next((str(one.version) for one in records if one.name.normalized == "python"), None)
