"""Machines that are prefetched for: a conda platform and a Python version, and what that means
for wheels (PEP 425, 600) and for markers (PEP 508).

A Linux or macOS platform stands for machines of several ages: each may choose another wheel.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from rattler import Subdir

from proxy.errors import ConfigError
from proxy.mirror.wanted.naming import OPTIONS, Naming

_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")

_GLIBC = (43, 41, 39, 36, 35, 34, 31, 28, 26, 17)
"""Minor versions of glibc 2: those of distributions in use, and those that wheels name."""

_MACOS = ((26, 0), (15, 0), (14, 0), (13, 0), (12, 0), (11, 0))

_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # PEP 600, "Legacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A conda platform. `machine` is its architecture as wheels and `platform.machine()` say it."""

    name: str
    system: str
    machine: str
    oldest_glibc: int = 17

    @property
    def markers(self) -> dict[str, str]:
        """The part of a marker's environment that it decides (PEP 508)."""
        os_name, sys_platform = _NAMES[self.system]
        return {
            "os_name": os_name,
            "sys_platform": sys_platform,
            "platform_system": self.system,
            "platform_machine": self.machine,
            "platform_release": "",
            "platform_version": "",
        }

    def ages(self) -> Iterator[list[str]]:
        """The platform tags of its machines, the newest first; of each, the best first."""
        match self.system:
            case "Linux":
                for minor in _GLIBC:
                    yield [*self._manylinux(minor), f"linux_{self.machine}"]
            case "Darwin":
                for version in _MACOS:
                    yield list(mac_platforms(version, self.machine))
            case _:
                yield ["win_" + self.machine.lower()]

    def _manylinux(self, newest: int) -> Iterator[str]:
        for minor in range(newest, self.oldest_glibc - 1, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{self.machine}"


_NAMES = {"Linux": ("posix", "linux"), "Darwin": ("posix", "darwin"), "Windows": ("nt", "win32")}

PLATFORMS: Mapping[str, Platform] = {
    one.name: one
    for one in (
        Platform(name="linux-64", system="Linux", machine="x86_64", oldest_glibc=5),
        Platform(name="linux-aarch64", system="Linux", machine="aarch64"),
        Platform(name="linux-ppc64le", system="Linux", machine="ppc64le"),
        Platform(name="linux-s390x", system="Linux", machine="s390x"),
        Platform(name="osx-64", system="Darwin", machine="x86_64"),
        Platform(name="osx-arm64", system="Darwin", machine="arm64"),
        Platform(name="win-64", system="Windows", machine="AMD64"),
        Platform(name="win-arm64", system="Windows", machine="ARM64"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """CPython `python` ("3.12" or "3.12.4") on a platform."""

    platform: Platform
    python: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform.name}"

    @property
    def python_full(self) -> str:
        """With a micro version; without one given it is the first of all, as for pip."""
        return self.python if self.python.count(".") == 2 else f"{self.python}.0"

    @property
    def python_minor(self) -> str:
        return ".".join(self.python.split(".")[:2])

    @property
    def environment(self) -> dict[str, str]:
        """What markers are evaluated in (PEP 508)."""
        return {
            **self.platform.markers,
            "python_version": self.python_minor,
            "python_full_version": self.python_full,
            "implementation_name": "cpython",
            "implementation_version": self.python_full,
            "platform_python_implementation": "CPython",
        }

    def ages(self) -> tuple[Mapping[Tag, int], ...]:
        """For each age of machine, the newest first: the tags it takes, by rank; 0 is the best."""
        return _ages(self.platform, self.python_minor)


@lru_cache(maxsize=64)
def _ages(platform: Platform, python_minor: str) -> tuple[Mapping[Tag, int], ...]:
    major, minor = (int(part) for part in python_minor.split("."))
    found = []
    for platforms in platform.ages():
        tags = [
            *cpython_tags((major, minor), platforms=platforms),
            *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
        ]
        ranks: dict[Tag, int] = {}
        for rank, tag in enumerate(tags):
            ranks.setdefault(tag, rank)
        found.append(ranks)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is prefetched for. `chosen`: the platforms were given, and limit locks, too. `naming` is
    what whoever chose them calls them.
    """

    platforms: tuple[Platform, ...]
    pythons: tuple[str, ...]
    chosen: bool = True
    naming: Naming = OPTIONS

    def __iter__(self) -> Iterator[Target]:
        for platform in self.platforms:
            for python in self.pythons:
                yield Target(platform=platform, python=python)

    def takes(self, platform: str) -> bool:
        """Whether a lock's files for the conda platform *platform* are wanted."""
        return not self.chosen or platform == "noarch" or platform in self._names

    @property
    def _names(self) -> set[str]:
        return {one.name for one in self.platforms}


def targets_of(
    platforms: Sequence[str], pythons: Sequence[str], naming: Naming = OPTIONS
) -> Targets:
    """Those that are named, else this machine and the Python that runs this.

    Raises ConfigError.
    """
    names = tuple(platforms) or (str(Subdir.current()),)
    return Targets(
        platforms=tuple(platform_named(name, naming) for name in dict.fromkeys(names)),
        pythons=tuple(dict.fromkeys(python_named(text, naming) for text in pythons))
        or (".".join(str(part) for part in sys.version_info[:3]),),
        chosen=bool(platforms),
        naming=naming,
    )


def platform_named(name: str, naming: Naming = OPTIONS) -> Platform:
    """Raises ConfigError with the names that there are."""
    if name not in PLATFORMS:
        raise ConfigError(f"{naming.platform} {name}: write one of {', '.join(PLATFORMS)}")
    return PLATFORMS[name]


def python_named(text: str, naming: Naming = OPTIONS) -> str:
    """*text* where it is a version. Raises ConfigError."""
    if not _PYTHON.fullmatch(text):
        raise ConfigError(f"{naming.python} {text}: write a version such as 3.12 or 3.12.4")
    return text
