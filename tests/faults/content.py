"""What the upstream of the fault bench has, and all that it ever had: the truth about each body.

A channel, an index of Python projects and a tree of plain files, in memory. Files may be replaced
under their names: what clients get must then be one of the versions that were published.
"""

from __future__ import annotations

import enum
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import zstandard

PACKAGES, PROJECTS, PLAIN = 8, 4, 4
"""How many of each there are."""

Generation = frozenset[tuple[str, str]]
"""What an index lists: file names with SHA-256 digests."""


class Role(enum.Enum):
    """What a client can know of a body."""

    INDEX = enum.auto()  # that it lists a published generation
    VERIFIED = enum.auto()  # its digest, from an index
    PLAIN = enum.auto()  # nothing but its length


@dataclass(frozen=True, slots=True)
class File:
    """One file as upstream has it now."""

    role: Role
    body: bytes
    media_type: str = "application/octet-stream"

    @property
    def etag(self) -> str:
        return f'"{digest(self.body)[:32]}"'


@dataclass(slots=True)
class Content:
    """Everything. `files` by upstream path; the histories are for those who check."""

    seed: int
    files: dict[str, File] = field(default_factory=dict)
    generations: dict[str, set[Generation]] = field(default_factory=dict)
    versions: dict[str, set[bytes]] = field(default_factory=dict)
    _random: random.Random = field(init=False)
    _packages: dict[str, bytes] = field(default_factory=dict)
    _wheels: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        for number in range(PACKAGES):
            self._put_package(f"pkg{number}-1.0-0.conda")
        for number in range(PROJECTS):
            project = f"proj{number}"
            wheels = {f"{project}-{v}-py3-none-any.whl": _wheel(project, v) for v in ("1.0", "2.0")}
            self._wheels[project] = wheels
            for name, body in wheels.items():
                self._keep(f"/files/{name}", Role.VERIFIED, body)
                self._keep(f"/files/{name}.metadata", Role.VERIFIED, metadata(name))
            self._publish_page(project)
        for number in range(PLAIN):
            size = self._random.choice((0, 700, 60_000, 900_000))
            self._keep(f"/tree/plain{number}", Role.PLAIN, self._random.randbytes(size))
        self.publish_channel()

    @property
    def packages(self) -> list[str]:
        return sorted(self._packages)

    @property
    def projects(self) -> list[str]:
        return sorted(self._wheels)

    @property
    def plain(self) -> list[str]:
        return [f"plain{number}" for number in range(PLAIN)]

    def wheels(self, project: str) -> list[str]:
        return sorted(self._wheels[project])

    def replace_package(self) -> None:
        """Another body under a name that is taken; the index is still the old one."""
        self._put_package(self._random.choice(self.packages))

    def publish_channel(self) -> None:
        """Make the channel's index agree with its packages."""
        table = {name: _record(name, body) for name, body in self._packages.items()}
        listed = frozenset((name, digest(body)) for name, body in self._packages.items())
        self.generations.setdefault("linux-64", set()).add(listed)
        self.generations.setdefault("noarch", set()).add(frozenset())
        for subdir, records in (("linux-64", table), ("noarch", {})):
            index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": records}
            text, path = json.dumps(index).encode(), f"/channel/{subdir}/repodata.json"
            self.files[path] = File(Role.INDEX, text, "application/json")
            self.files[f"{path}.zst"] = File(Role.INDEX, zstandard.compress(text))

    def is_version(self, name: str, body: bytes) -> bool:
        """Whether *body* was ever published under *name*."""
        return _fingerprint(body) in self.versions[name]

    def is_part(self, name: str, part: bytes, start: int) -> bool:
        """Whether *part* is what the file of *name* has from *start* on, as it is now."""
        found = next(file for path, file in self.files.items() if path.endswith(f"/{name}"))
        return found.body[start : start + len(part)] == part

    def _put_package(self, name: str) -> None:
        size = self._random.choice((300, 40_000, 400_000))
        self._packages[name] = self._random.randbytes(size)
        self._keep(f"/channel/linux-64/{name}", Role.VERIFIED, self._packages[name])

    def _keep(self, path: str, role: Role, body: bytes) -> None:
        self.files[path] = File(role, body)
        self.versions.setdefault(path.rpartition("/")[2], set()).add(_fingerprint(body))

    def _publish_page(self, project: str) -> None:
        wheels = self._wheels[project]
        listed = frozenset((name, digest(body)) for name, body in wheels.items())
        self.generations.setdefault(project, set()).add(listed)
        # Half of the projects have their metadata beside their wheels.
        promised = int(project[-1]) % 2 == 0
        page = {
            "meta": {"api-version": "1.1"},
            "name": project,
            "files": [_listed(name, body, promised=promised) for name, body in wheels.items()],
        }
        kind = "application/vnd.pypi.simple.v1+json"
        self.files[f"/simple/{project}/"] = File(Role.INDEX, json.dumps(page).encode(), kind)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _fingerprint(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _record(name: str, body: bytes) -> Mapping[str, object]:
    return {
        "name": name.split("-", maxsplit=1)[0],
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "sha256": digest(body),
        "size": len(body),
    }


def _listed(name: str, body: bytes, *, promised: bool) -> Mapping[str, object]:
    file: dict[str, object] = {
        "filename": name,
        "url": f"../../files/{name}",
        "hashes": {"sha256": digest(body)},
        "size": len(body),
    }
    if promised:
        file["core-metadata"] = {"sha256": digest(metadata(name))}
    return file


def metadata(name: str) -> bytes:
    """The core metadata of the wheel of that name."""
    project, version, *_ = name.split("-")
    return f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode()


def _wheel(project: str, version: str) -> bytes:
    made = io.BytesIO()
    name = f"{project}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        load = random.Random(name).randbytes(60_000)
        archive.writestr(zipfile.ZipInfo(f"{project}/load"), load)
        archive.writestr(zipfile.ZipInfo(f"{project}-{version}.dist-info/METADATA"), metadata(name))
    return made.getvalue()


def pairs(table: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """What a table of conda records lists."""
    for name, record in table.items():
        yield name, str(record["sha256"])
