"""Where a benchmark runs: a folder for its files, and how much of everything it does."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """*folder* is empty and on the disk to be measured; *full* asks for the whole scale."""

    folder: Path
    full: bool

    @property
    def rounds(self) -> int:
        return 7 if self.full else 3

    def upstream_folder(self) -> Path:
        """The folder that upstream serves; plain files are below `files/`."""
        root = self.folder / "upstream"
        (root / "files").mkdir(parents=True, exist_ok=True)
        return root

    def plain_files(self, name: str, size: int, count: int) -> list[Path]:
        """*count* names of one file of *size* bytes: each is uncached until it is asked for."""
        folder = self.upstream_folder() / "files"
        first = folder / f"{name}-0.bin"
        with first.open("wb") as file:
            source, left = random.Random(name), size
            while left:
                piece = source.randbytes(min(left, 16 * MB))
                left -= file.write(piece)
        paths = [first, *(folder / f"{name}-{number}.bin" for number in range(1, count))]
        for path in paths[1:]:
            os.link(first, path)
        return paths
