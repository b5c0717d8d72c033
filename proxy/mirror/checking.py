"""Whether a wish can be carried out: its files are read, as the prefetch itself will read them.

Reading needs solvers, so that this belongs into a process of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from proxy.errors import ConfigError
from proxy.mirror.prefetching import Wish
from proxy.mirror.wanted.naming import KEYS
from proxy.mirror.wanted.sent import Sent
from proxy.mirror.wanted.targets import targets_of


def check(wish: Wish) -> None:
    """See that the files can be read. Raises ConfigError saying what is wrong where; blocks."""
    if not (wish.files or wish.paths):
        raise ConfigError("nothing is asked for: send files, or paths")
    targets = targets_of(wish.platforms, wish.pythons, KEYS)
    with tempfile.TemporaryDirectory(prefix="pkgproxy-") as folder:
        Sent(Path(folder)).read(wish.files, wish.beside, targets)
