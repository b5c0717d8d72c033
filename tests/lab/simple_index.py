"""A Simple index of real wheels, written from scratch into folders.

`build_index` writes wheels that pip and uv install (pure Python, dependencies, a console
script), each project's page as JSON 1.1 (PEP 691, 700) and as HTML (PEP 503), and `.metadata`
files (PEP 658). Two kinds: a full one, and the poorest that is seen in the wild (HTML only, no
metadata, files on another host). Content negotiation and serving are `tests.lab.origin`'s.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import random
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON_PAGE = "index.v1.json"
HTML_PAGE = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel to be: module `<name>` with `payload` bytes of data, and a command `<name>`."""

    name: str
    version: str = "1.0"
    depends: tuple[str, ...] = ()
    payload: int = 2000  # bytes, incompressible
    yanked: str | None = None
    requires_python: str = ">=3.8"

    @property
    def module(self) -> str:
        return re.sub(r"[-_.]+", "_", self.name).lower()

    @property
    def filename(self) -> str:
        return f"{self.module}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """JSON and HTML, relative file URLs beside the pages, metadata, upload times, sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """HTML only, no metadata; files in the folder `files`, linked as absolute below `url`."""

    files: Path
    url: str


def family() -> tuple[Wheel, ...]:
    """Six projects, eight files: `lab-app` needs four others; 3.0 of `lab-web` is yanked."""
    return (
        Wheel(name="lab-app", depends=("lab-web>=2", "Lab.Tool")),
        Wheel(name="lab-web", version="1.0", depends=("lab-core",)),
        Wheel(name="lab-web", version="2.0", depends=("lab-core",)),
        Wheel(name="lab-web", version="3.0", depends=("lab-core",), yanked="broken"),
        Wheel(name="Lab.Tool", version="1.0+local.1", depends=("lab-core",)),
        Wheel(name="lab-core", payload=100_000),
        Wheel(name="lab-lone"),
        Wheel(name="lab-big", payload=3_000_000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A wheel as the index lists it; `path` is relative to the folder that holds the files."""

    wheel: Wheel
    body: bytes
    metadata: bytes
    path: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def metadata_sha256(self) -> str:
        return hashlib.sha256(self.metadata).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleIndex:
    """What `build_index` wrote: the folder (pages under `simple/`) and each file by name."""

    path: Path
    files: Mapping[str, Listed]


def build_index(
    path: Path, wheels: Iterable[Wheel] | None = None, kind: Full | Degraded | None = None
) -> SimpleIndex:
    """Write an index of *wheels* (`family()` where none are given) into the folder *path*."""
    kind = Full() if kind is None else kind
    files: dict[str, Listed] = {}
    projects: dict[str, list[Listed]] = {}
    for wheel in family() if wheels is None else wheels:
        listed = _listed(wheel)
        files[wheel.filename] = listed
        projects.setdefault(wheel.module.replace("_", "-"), []).append(listed)
        _write_file(path, listed, kind)
    for name, members in projects.items():
        folder = path / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HTML_PAGE).write_text(_html_page(members, kind))
        if isinstance(kind, Full):
            (folder / JSON_PAGE).write_text(json.dumps(_json_page(name, members)))
    _write_root(path, sorted(projects), kind)
    return SimpleIndex(path=path, files=files)


def _write_file(path: Path, listed: Listed, kind: Full | Degraded) -> None:
    match kind:
        case Full():
            target = path / listed.path
        case Degraded(files=files):
            target = files / listed.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(listed.body)
    if isinstance(kind, Full):
        target.with_name(target.name + ".metadata").write_bytes(listed.metadata)


def _write_root(path: Path, names: Iterable[str], kind: Full | Degraded) -> None:
    links = "".join(f'<a href="{name}/">{name}</a>\n' for name in names)
    page = f"<!DOCTYPE html><html><body>\n{links}</body></html>"
    (path / "simple" / HTML_PAGE).write_text(page)
    if isinstance(kind, Full):
        projects = [{"name": name} for name in names]
        root = {"meta": {"api-version": "1.1"}, "projects": projects}
        (path / "simple" / JSON_PAGE).write_text(json.dumps(root))


# -- wheels ------------------------------------------------------------------------------


def wheel_bytes(wheel: Wheel) -> bytes:
    """The wheel of *wheel*: the same bytes every time."""
    return _listed(wheel).body


def _listed(wheel: Wheel) -> Listed:
    info = f"{wheel.module}-{wheel.version}.dist-info"
    metadata = _metadata(wheel)
    source = f'VERSION = "{wheel.version}"\n\n\ndef main() -> None:\n    print(VERSION)\n'
    command = f"{wheel.module} = {wheel.module}:main"
    members = {
        f"{wheel.module}/__init__.py": source.encode(),
        f"{wheel.module}/payload.bin": random.Random(wheel.filename).randbytes(wheel.payload),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: lab\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{command}\n".encode(),
    }
    members[f"{info}/RECORD"] = _record(members, f"{info}/RECORD")
    body = _zip(members)
    digest = hashlib.blake2b(body, digest_size=32).hexdigest()
    path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{wheel.filename}"
    return Listed(wheel=wheel, body=body, metadata=metadata, path=path)


def _metadata(wheel: Wheel) -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {wheel.name}",
        f"Version: {wheel.version}",
        f"Requires-Python: {wheel.requires_python}",
        *(f"Requires-Dist: {depends}" for depends in wheel.depends),
    ]
    return ("\n".join(lines) + "\n").encode()


def _record(members: Mapping[str, bytes], own_name: str) -> bytes:
    lines = []
    for name, body in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(body)}")
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _zip(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return out.getvalue()


# -- pages -------------------------------------------------------------------------------


def _json_page(name: str, members: Iterable[Listed]) -> dict[str, Any]:
    files = [_json_file(member) for member in members]
    versions = sorted({member.wheel.version for member in members})
    return {
        "meta": {"api-version": "1.1", "_last-serial": 7},
        "name": name,
        "versions": versions,
        "files": files,
        "x-unknown": {"kept": True},  # a proxy passes on keys that it does not know
    }


def _json_file(member: Listed) -> dict[str, Any]:
    return {
        "filename": member.wheel.filename,
        "url": f"../../{member.path}",
        "hashes": {"sha256": member.sha256},
        "requires-python": member.wheel.requires_python,
        "size": len(member.body),
        "upload-time": "2023-11-14T22:13:20.000000Z",
        "yanked": member.wheel.yanked or False,
        "core-metadata": {"sha256": member.metadata_sha256},
    }


def _html_page(members: Iterable[Listed], kind: Full | Degraded) -> str:
    links = "".join(_link(member, kind) for member in members)
    version = '<meta name="pypi:repository-version" content="1.1">'
    return f"<!DOCTYPE html><html><head>{version}</head><body>\n{links}</body></html>"


def _link(member: Listed, kind: Full | Degraded) -> str:
    attributes = {"data-requires-python": member.wheel.requires_python}
    if member.wheel.yanked is not None:
        attributes["data-yanked"] = member.wheel.yanked
    match kind:
        case Full():
            url = f"../../{member.path}"
            attributes["data-core-metadata"] = f"sha256={member.metadata_sha256}"
        case Degraded(url=base):
            url = f"{base}/{member.path}"
    attributes = {"href": f"{url}#sha256={member.sha256}", **attributes}
    written = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<a {written}>{member.wheel.filename}</a><br>\n"
