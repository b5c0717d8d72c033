"""Run exports (CEP 12): an index about files that is never rewritten, but what is hidden is left
out of it, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.core.model import Index
from proxy.ecosystems.base import Body
from proxy.ecosystems.conda.gate import known
from proxy.ecosystems.conda.packing import Exports
from proxy.ecosystems.conda.pieces import Filtered, Piece, pieces
from proxy.ecosystems.conda.sections import sections
from proxy.ecosystems.conda.text import EMPTY, UNREADABLE, objects, plain_text
from proxy.errors import BadIndex

Text = tuple[list[Piece], bool]
"""The JSON that clients get, and whether it differs from what upstream sent."""


def run_exports(index: Index, body: Body) -> Text:
    """Pruned of the files that the gate hides. Raises BadIndex."""
    text = plain_text(index, body)
    top = objects(text, index.path)  # a page of HTML must not pass for an index
    if body.gate is None:
        return [text], text is EMPTY
    hidden = {name for name, denied in known(body.gate).items() if denied is not None}
    changes: dict[str, list[Piece]] = {}
    for path, section in sections(top, index.path).items():
        gone = {key: None for key in section.members if section.filename(key) in hidden}
        if gone and len(path) == 1:
            changes[path[0]] = [Filtered(section.members, gone)]
    return changed(text, top, changes)


def exports_by_name(index: Index, body: Body | None) -> Exports:
    """What the run exports *body* of the subdir of *index* say, by package and file name.

    Of what cannot be read nothing is known.
    """
    found: dict[str, dict[str, bytes]] = {}
    if body is None:
        return found
    try:
        top = _exporting(plain_text(index, body))
    except (BadIndex, *UNREADABLE):
        return found
    for filename, entry in (*top.packages.items(), *top.conda.items()):
        if exports := bytes(entry.run_exports):
            found.setdefault(filename.rsplit("-", 2)[0], {})[filename] = exports
    return found


class _Entry(msgspec.Struct):
    run_exports: msgspec.Raw = msgspec.Raw()


class _Listing(msgspec.Struct):
    packages: dict[str, _Entry] = msgspec.field(default_factory=dict)
    conda: dict[str, _Entry] = msgspec.field(name="packages.conda", default_factory=dict)


_exporting = msgspec.json.Decoder(_Listing).decode


def changed(
    text: bytes | memoryview, top: Mapping[str, msgspec.Raw], changes: Mapping[str, list[Piece]]
) -> Text:
    """*text*, whose members at the top are *top*, with some of them made anew."""
    if not changes:
        return [text], text is EMPTY
    return pieces({**top, **changes}), True
