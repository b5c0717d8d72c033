"""Repositories of R packages, as CRAN lays them out: sources that R installs, and their indexes.

`build_repository` writes a folder without R; `reindexed` has R itself make the indexes anew, as
`tools::write_PACKAGES` and CRAN's own scripts do, so that nothing of ours has a part in them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.ecosystems.cran import rds
from proxy.ecosystems.cran.rds import LIST, REAL, Vector

CONTRIB = "src/contrib"
ARCHIVED_AT = 1_500_000_000.0  # seconds since the epoch: when all old versions came to the archive


@dataclass(frozen=True, slots=True, kw_only=True)
class RPackage:
    """A source package whose function `<name>_version()` tells its version."""

    name: str
    version: str = "1.0"
    licence: str = "MIT + file LICENSE"
    imports: Sequence[str] = ()
    fields: Mapping[str, str] | None = None  # more of DESCRIPTION

    @property
    def filename(self) -> str:
        return f"{self.name}_{self.version}.tar.gz"

    @property
    def description(self) -> dict[str, str]:
        """The fields of DESCRIPTION, in order."""
        said = {
            "Package": self.name,
            "Version": self.version,
            "Title": "A Package for Tests",
            "Description": "It is installed and tells its version.",
            "Author": "Nobody",
            "Maintainer": "Nobody <nobody@example.org>",
            "License": self.licence,
            "NeedsCompilation": "no",
        }
        if self.imports:
            said["Imports"] = ", ".join(self.imports)
        return {**said, **(self.fields or {})}

    @property
    def tarball(self) -> bytes:
        """The package's file, the same bytes each time."""
        files = {
            "DESCRIPTION": _dcf(self.description),
            "NAMESPACE": "".join(
                [f"export({self.name}_version)\n"]
                + [f"import({one.partition(' ')[0]})\n" for one in self.imports]
            ),
            f"R/{self.name}.R": f'{self.name}_version <- function() "{self.version}"\n',
            "LICENSE": "YEAR: 2026\nCOPYRIGHT HOLDER: Nobody\n",
        }
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(f"{self.name}/{name}")
                member.size = len(text.encode())
                member.mode = 0o644
                archive.addfile(member, io.BytesIO(text.encode()))
        return gzip.compress(packed.getvalue(), mtime=0)

    @property
    def record(self) -> dict[str, str]:
        """The fields of its record in PACKAGES."""
        kept = ("Package", "Version", "Imports", "License", "NeedsCompilation", "Published")
        found = {name: self.description[name] for name in kept if name in self.description}
        return {**found, "MD5sum": hashlib.md5(self.tarball, usedforsecurity=False).hexdigest()}


def packages_text(packages: Iterable[RPackage]) -> bytes:
    """PACKAGES of *packages*."""
    return "\n".join(_dcf(one.record) for one in packages).encode()


def archive_rds(packages: Iterable[RPackage]) -> bytes:
    """Meta/archive.rds of *packages*: for each name a table of its files."""
    by_name: dict[str, list[RPackage]] = {}
    for one in packages:
        by_name.setdefault(one.name, []).append(one)
    names = rds.texts([name.encode() for name in by_name])
    frames = [_frame(found) for found in by_name.values()]
    return gzip.compress(
        rds.written(Vector(type=LIST, values=frames, attributes={b"names": names})), mtime=0
    )


def listing(packages: Iterable[RPackage]) -> bytes:
    """A folder of the archive, as Apache shows it."""
    rows = "".join(
        f'<tr><td><a href="{one.filename}">{one.filename}</a></td><td>2026-01-01</td></tr>\n'
        for one in packages
    )
    return f'<table><tr><td><a href="/a/">Parent Directory</a></td></tr>\n{rows}</table>\n'.encode()


def files(current: Sequence[RPackage], archived: Sequence[RPackage] = ()) -> dict[str, bytes]:
    """All files of a repository, by path."""
    text = packages_text(current)
    old = {one.name for one in archived}
    folder = f"{CONTRIB}/Archive"
    return {
        f"{CONTRIB}/PACKAGES": text,
        f"{CONTRIB}/PACKAGES.gz": gzip.compress(text, mtime=0),
        f"{CONTRIB}/Meta/archive.rds": archive_rds(archived),
        **{f"{CONTRIB}/{one.filename}": one.tarball for one in current},
        **{f"{folder}/{one.name}/{one.filename}": one.tarball for one in archived},
        **{
            f"{folder}/{name}/index.html": listing(one for one in archived if one.name == name)
            for name in old
        },
    }


def build_repository(
    folder: Path, current: Sequence[RPackage], archived: Sequence[RPackage] = ()
) -> None:
    """Write a repository into *folder*."""
    for path, content in files(current, archived).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


_INDEXING = """
setwd(commandArgs(TRUE)[1])
tools::write_PACKAGES(".", type = "source", latestOnly = FALSE)
if (dir.exists("Archive")) {
    folders <- list.dirs("Archive", full.names = FALSE, recursive = FALSE)
    setwd("Archive")
    found <- lapply(folders, function(it) file.info(Sys.glob(file.path(it, "*.tar.gz"))))
    setwd("..")
    saveRDS(setNames(found, folders), "Meta/archive.rds")
}
"""


def reindexed(folder: Path) -> None:
    """Have R make all indexes of the repository in *folder*. Raises CalledProcessError."""
    command = ["Rscript", "--vanilla", "-e", _INDEXING, str(folder / CONTRIB)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _dcf(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _frame(packages: Sequence[RPackage]) -> Vector:
    sizes = [float(len(one.tarball)) for one in packages]
    rows = [f"{one.name}/{one.filename}".encode() for one in packages]
    kind = {b"class": rds.texts([b"POSIXct", b"POSIXt"])}
    return Vector(
        type=LIST,
        values=[_reals(sizes), _reals([ARCHIVED_AT] * len(rows), kind)],
        attributes={
            b"names": rds.texts([b"size", b"mtime"]),
            b"row.names": rds.texts(rows),
            b"class": rds.texts([b"data.frame"]),
        },
    )


def _reals(values: Sequence[float], attributes: Mapping[bytes, Vector] | None = None) -> Vector:
    packed = struct.pack(f">{len(values)}d", *values)
    return Vector(type=REAL, values=packed, attributes=attributes or {})
