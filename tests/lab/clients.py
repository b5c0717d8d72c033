"""Released clients, each isolated from this machine's configuration and from each other.

Every object has a folder of its own for home, cache and results: a new object is a new client
machine. A failing client raises `ClientError` with what it printed.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import rattler

from tests.lab.secrets import UPSTREAMS, shown
from tests.lab.server import clean_environment

PATIENCE = 60.0  # seconds; a bound for slow machines, not a promise


class ClientError(AssertionError):
    """A client ended with an error; the message holds its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP response as it was on the wire; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
    """One bare request. Raises http.client.IncompleteRead where the body ends early."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, headers=dict(headers or {}))
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(status=response.status, headers=received, body=response.read())
        assert shown(repr(reply).encode(), UPSTREAMS) == [], "an answer shows a secret"
        return reply
    finally:
        connection.close()


class PypiClient(Protocol):
    """What the tests ask of pip and of uv."""

    def install(self, index_url: str, *requirements: str) -> Path:
        """Install with dependencies; the folder that holds the modules."""
        ...


class Pip:
    """pip; *command* runs it, by default the one of this environment."""

    def __init__(self, folder: Path, command: Sequence[str] | None = None) -> None:
        self.folder = folder
        self._command = [sys.executable, "-m", "pip"] if command is None else list(command)
        self._environment = {
            **clean_environment(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(folder / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_RETRIES": "0",
        }

    def install(self, index_url: str, *requirements: str) -> Path:
        """Install with dependencies into a folder, which is returned."""
        target = self.folder / "site"
        self.run("install", "--target", str(target), "--index-url", index_url, *requirements)
        return target

    def download(self, index_url: str, *requirements: str) -> Path:
        """Download with dependencies into a folder, which is returned."""
        target = self.folder / "downloads"
        self.run("download", "--dest", str(target), "--index-url", index_url, *requirements)
        return target

    def run(self, *arguments: str) -> str:
        """Run pip; its output. Raises ClientError."""
        return _run([*self._command, *arguments], self.folder, self._environment)


def current_pip(folder: Path) -> list[str]:
    """Get the newest pip as this machine's pip is configured; the command that runs it.

    Raises ClientError, where no index can be reached among others.
    """
    wanted = ["--quiet", "--target", str(folder / "pip"), "--upgrade", "pip"]
    _run([sys.executable, "-m", "pip", "install", *wanted], folder, os.environ)
    return [sys.executable, str(folder / "pip" / "pip")]


class Uv:
    """uv, as installed in this environment or on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **clean_environment(folder),
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_RETRIES": "0",
        }

    @staticmethod
    def executable() -> str | None:
        """Where uv is; None where it is not installed."""
        beside = Path(sys.executable).with_name("uv")
        return str(beside) if beside.exists() else shutil.which("uv")

    def install(self, index_url: str, *requirements: str) -> Path:
        """Install with dependencies into a folder, which is returned."""
        target = self.folder / "site"
        where = ["--target", str(target), "--python", sys.executable]
        self.run("pip", "install", *where, "--index-url", index_url, *requirements)
        return target

    def run(self, *arguments: str) -> str:
        """Run uv; its output. Raises ClientError."""
        executable = self.executable()
        assert executable is not None, "uv is not installed"
        return _run([executable, *arguments], self.folder, self._environment)


class Rattler:
    """py-rattler: repodata gateway, solver and installer, for linux-64 and noarch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._client = rattler.Client()

    def solve(self, channels: str | Sequence[str], *specs: str) -> list[rattler.RepoDataRecord]:
        """What *specs* need from *channels* (URLs). Raises rattler's exceptions."""
        return asyncio.run(self._solve(_listed(channels), specs))

    def install(self, channels: str | Sequence[str], *specs: str) -> Path:
        """Solve and install into a prefix, which is returned. Raises rattler's exceptions."""
        return asyncio.run(self._install(_listed(channels), specs))

    async def _solve(
        self, channels: Sequence[str], specs: Sequence[str]
    ) -> list[rattler.RepoDataRecord]:
        gateway = rattler.Gateway(cache_dir=self.folder / "repodata", client=self._client)
        return await rattler.solve(
            [rattler.Channel(channel) for channel in channels],
            list(specs),
            gateway=gateway,
            platforms=["linux-64", "noarch"],
        )

    async def _install(self, channels: Sequence[str], specs: Sequence[str]) -> Path:
        records = await self._solve(channels, specs)
        prefix = self.folder / "prefix"
        await rattler.install(
            records,
            prefix,
            cache_dir=self.folder / "packages",
            client=self._client,
            show_progress=False,
            platform=rattler.Subdir("linux-64"),
        )
        return prefix


class Conda:
    """The conda command, where this machine has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **clean_environment(folder),
            "CONDARC": os.devnull,
            "CONDA_PKGS_DIRS": str(folder / "packages"),
            "CONDA_NUMBER_CHANNEL_NOTICES": "0",
            "CONDA_REMOTE_MAX_RETRIES": "0",
        }

    @staticmethod
    def executable() -> str | None:
        """Where conda is: CONDA_EXE, or on PATH; None where there is none."""
        named = os.environ.get("CONDA_EXE")
        return named if named and Path(named).exists() else shutil.which("conda")

    def install(self, channel: str, *specs: str) -> Path:
        """Create a prefix, which is returned. Raises ClientError."""
        executable = self.executable()
        assert executable is not None, "conda is not installed"
        prefix = self.folder / "prefix"
        where = ["--prefix", str(prefix), "--override-channels", "--channel", channel]
        command = [executable, "create", "--yes", "--quiet", "--no-default-packages", *where]
        _run([*command, *specs], self.folder, self._environment)
        return prefix


class R:
    """R, where this machine has it, with a library of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "library"
        self.library.mkdir(parents=True, exist_ok=True)
        self._environment = {
            **clean_environment(folder),
            "R_LIBS_USER": str(self.library),
            "TMPDIR": str(folder),
        }

    @staticmethod
    def executable() -> str | None:
        """Where Rscript is; None where there is none."""
        return shutil.which("Rscript")

    @staticmethod
    @functools.cache
    def has(package: str) -> bool:
        """Whether this machine's R has *package*."""
        executable = R.executable()
        look = f'quit(status = !nzchar(system.file(package = "{package}")))'
        command = [str(executable), "--vanilla", "-e", look]
        return executable is not None and subprocess.run(command, check=False).returncode == 0

    def install(self, repository: str, *packages: str) -> dict[str, str]:
        """Install with dependencies; the versions of all that is in the library by then.

        Raises ClientError where R gives as much as a warning.
        """
        names = ", ".join(f'"{one}"' for one in packages)
        self.run("options(warn = 2)", f"install.packages(c({names}))", repository=repository)
        return self.installed()

    def installed(self) -> dict[str, str]:
        """The packages in the library, with their versions."""
        found = self.library.glob("*/DESCRIPTION")
        return {file.parent.name: _version(file.read_text()) for file in found}

    def run(self, *lines: str, repository: str) -> str:
        """Run *lines* with *repository* as CRAN; all that R prints. Raises ClientError."""
        executable = self.executable()
        assert executable is not None, "R is not installed"
        script = self.folder / "script.R"
        set_up = (
            f'options(repos = c(CRAN = "{repository}"), width = 500)',
            # What takes time and is not in question here.
            "options(install.opts = c('--no-docs', '--no-byte-compile', '--no-test-load'))",
            "options(Ncpus = 1L)",
        )
        script.write_text("\n".join([*set_up, *lines, ""]))
        command = [executable, "--no-init-file", "--no-site-file", str(script)]
        return _run(command, self.folder, self._environment)


def _version(description: str) -> str:
    return description.partition("Version: ")[2].partition("\n")[0]


def _listed(channels: str | Sequence[str]) -> Sequence[str]:
    return [channels] if isinstance(channels, str) else channels


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if ended.returncode != 0:
        raise ClientError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout
