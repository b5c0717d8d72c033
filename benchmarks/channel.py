"""A channel as large as conda-forge's linux-64, written from scratch.

Records have the fields, lengths and numbers of dependencies that real ones have; digests are
random, as real ones look to a compressor. Packages depend on earlier ones only, so that what is
asked for can be solved. The same seed gives the same channel; another `edition` changes one
record in a thousand and nothing else.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import zstandard

RECORDS = 600_000
PER_NAME = 28
CHANGED = 0.001

_SYLLABLES = [first + second for first in "bdklmn" for second in "aeio"]
_LICENCES = (
    ("MIT", "MIT"),
    ("BSD-3-Clause", "BSD"),
    ("Apache-2.0", "Apache"),
    ("GPL-3.0-or-later", "GPL3"),
    ("LGPL-2.1-or-later", "LGPL"),
    ("MIT AND BSD-2-Clause", "BSD"),
    ("Apache-2.0 WITH LLVM-exception", "Apache"),
)
_PYTHONS = ("38", "39", "310", "311", "312", "313")
_START = 1_500_000_000_000  # milliseconds
_Record = dict[str, Any]


def names(count: int, seed: int = 1) -> list[str]:
    """Package names, in the order in which packages may depend on earlier ones."""
    chosen = random.Random(seed)
    prefixes = ("", "", "", "lib", "r-", "py")
    suffixes = ("", "", "", "-core", "-dev", "-python", "-data")
    found: dict[str, None] = {}
    while len(found) < count:
        middle = "".join(chosen.choices(_SYLLABLES, k=chosen.randint(2, 4)))
        name = chosen.choice(prefixes) + middle + chosen.choice(suffixes)
        found[name if name not in found else f"{name}{len(found)}"] = None
    return list(found)


def write(folder: Path, records: int = RECORDS, *, edition: int = 1) -> Path:
    """Write `linux-64/repodata.json.zst` and an empty noarch; returns the JSON's path beside it.

    Tables are sorted by file name, as conda-index writes them.
    """
    chosen = random.Random(edition)
    subdir, noarch = folder / "linux-64", folder / "noarch"
    for one in (subdir, noarch):
        one.mkdir(parents=True, exist_ok=True)
    (noarch / "repodata.json").write_text('{"info":{"subdir":"noarch"},"packages":{}}')
    text = subdir / "repodata.text"
    tables: dict[str, list[str]] = {"tar.bz2": [], "conda": []}
    for ending, filename, record in _records(records):
        if edition > 1 and chosen.random() < CHANGED:
            record["build_number"] += 100
            record["sha256"] = f"{chosen.getrandbits(256):064x}"
        tables[ending].append(f"{json.dumps(filename)}: {json.dumps(record)}")
    for table in tables.values():
        table.sort()
    with text.open("w") as file:
        file.write('{"info": {"subdir": "linux-64"}, "packages": {')
        file.write(", ".join(tables["tar.bz2"]))
        file.write('}, "packages.conda": {')
        file.write(", ".join(tables["conda"]))
        file.write('}, "removed": [], "repodata_version": 1}')
    compressor = zstandard.ZstdCompressor(level=6, threads=-1)
    with text.open("rb") as file, (subdir / "repodata.json.zst").open("wb") as packed:
        compressor.copy_stream(file, packed, size=text.stat().st_size)
    return text


def _records(count: int) -> Any:
    chosen = random.Random(2)
    known = names(max(20, count // PER_NAME))
    for place, name in enumerate(known):
        yield from _package(chosen, name, known[:place], count // len(known))


def _package(chosen: random.Random, name: str, earlier: list[str], count: int) -> Any:
    licence, family = chosen.choice(_LICENCES)
    depends = [f"{one} >=0.1" for one in _some(chosen, earlier)]
    is_python = chosen.random() < 0.45
    made_at = _START + chosen.randrange(10**11)
    for number in range(count):
        made_at += chosen.randrange(10**9)
        version = f"{1 + number // 12}.{number % 12}.{chosen.randrange(9)}"
        digits = f"h{chosen.getrandbits(28):07x}_0"
        python = chosen.choice(_PYTHONS)
        build = f"py{python}{digits}" if is_python else digits
        extra = [f"python >=3.{python[1:]}"] if is_python else []
        record: _Record = {
            "build": build,
            "build_number": 0,
            "depends": sorted(["__glibc >=2.17,<3.0.a0", *depends]),
            "license": licence,
            "license_family": family,
            "md5": f"{chosen.getrandbits(128):032x}",
            "name": name,
            "sha256": f"{chosen.getrandbits(256):064x}",
            "size": int(chosen.lognormvariate(12.6, 2.2)) + 900,
            "subdir": "linux-64",
            "timestamp": made_at,
            "version": version,
        }
        if extra:
            record["constrains"] = extra
        if chosen.random() < 0.15:
            record["track_features"] = ""
        ending = "tar.bz2" if number < count // 3 else "conda"
        yield ending, f"{name}-{version}-{build}.{ending}", record


def _some(chosen: random.Random, earlier: list[str]) -> list[str]:
    """Nearly eight on average, most of them among the few that everybody needs."""
    wanted = min(len(earlier), int(chosen.expovariate(1 / 7)), 25)
    common = earlier[:40]
    return sorted(
        {chosen.choice(common if chosen.random() < 0.7 else earlier) for _ in range(wanted)}
    )
