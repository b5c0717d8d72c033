"""channeldata.json (CEP 38): what a channel has, a line for each package, of all its subdirs.

What is left of a package is told by the rows of the subdirs that are here; of the others it is
known only whether the policy hides a package by its name. What an entry says in words (summary,
licence, home) is about the project and stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proxy.core.blocks import opened
from proxy.core.model import Index
from proxy.core.rows import is_denied
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.judging import Judging
from proxy.ecosystems.conda.listings import Text, changed
from proxy.ecosystems.conda.pieces import Filtered
from proxy.ecosystems.conda.specs import newest_first
from proxy.ecosystems.conda.text import EMPTY, objects, plain_text, values


def channeldata(index: Index, body: Body, context: Context) -> Text:
    """Without the packages of which nothing is left, and of the others only what is left.

    Raises BadIndex.
    """
    text = plain_text(index, body)
    top = objects(text, index.path)
    if context.policy is None or "packages" not in top:
        return [text], text is EMPTY
    judging = Judging(index, body, context, context.policy)
    packages = objects(top["packages"], f"{index.path}, packages")
    gone = {name for name in packages if judging.hides_all(name)}
    here = {path.split("/")[-2]: rows for path, rows in body.gates.items()}
    entries: dict[str, msgspec.Raw] = {}
    for name, left in _left(here).items():
        if name not in packages or name in gone:
            continue
        entry = values(packages[name], f"{index.path}, {name}")
        reduced = left.of(entry, here)
        if reduced is None:
            gone.add(name)
        elif reduced != entry:
            entries[name] = msgspec.Raw(msgspec.json.encode(reduced))
    if not gone and not entries:
        return [text], text is EMPTY
    shown = Filtered({**packages, **entries}, dict.fromkeys(gone))
    return changed(text, top, {"packages": [shown]})


class _Left:
    """What the policy leaves of one package, by subdir, and the versions of what it hides."""

    def __init__(self) -> None:
        self.shown: defaultdict[str, set[str]] = defaultdict(set)
        self.hidden: set[str] = set()

    def of(self, entry: Mapping[str, Any], here: Iterable[str]) -> dict[str, Any] | None:
        """*entry* as it is true of that; None: nothing is left. *here*: the subdirs looked at."""
        reduced = dict(entry)
        subdirs = entry.get("subdirs")
        if isinstance(subdirs, list):
            empty = set(here) - self.shown.keys()
            reduced["subdirs"] = [one for one in subdirs if str(one) not in empty]
            if not reduced["subdirs"]:
                return None
        elif not self.shown:
            return None
        versions = set[str]().union(*self.shown.values())
        gone = self.hidden - versions
        if str(entry.get("version")) in gone:
            del reduced["version"]  # of what is left in subdirs that are not here nothing is known
            if versions:
                reduced = {**entry, **reduced, "version": newest_first(versions)[0]}
        exports = entry.get("run_exports")
        if isinstance(exports, dict):
            reduced["run_exports"] = {it: one for it, one in exports.items() if it not in gone}
        return reduced


def _left(here: Mapping[str, bytes | memoryview]) -> Mapping[str, _Left]:
    """Of every package of which something is hidden, what is left."""
    found: defaultdict[str, _Left] = defaultdict(_Left)
    for subdir, rows in here.items():
        for filename, value in opened(rows).items():
            parts = filename.rsplit("-", 2)  # CEP 26: neither version nor build has a hyphen
            if len(parts) != 3 or filename.endswith(".whl"):
                continue
            name, version, _ = parts
            if is_denied(value):
                found[name].hidden.add(version)
            else:
                found[name].shown[subdir].add(version)
    return {name: left for name, left in found.items() if left.hidden}
