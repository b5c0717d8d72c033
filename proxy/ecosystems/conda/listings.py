"""Run exports (CEP 12): an index about files that is never rewritten, but what is hidden is left
out of it, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.core.model import Index
from proxy.ecosystems.base import Body
from proxy.ecosystems.conda.gate import known
from proxy.ecosystems.conda.pieces import Filtered, Piece, pieces
from proxy.ecosystems.conda.sections import sections
from proxy.ecosystems.conda.text import EMPTY, objects, plain_text

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


def changed(
    text: bytes | memoryview, top: Mapping[str, msgspec.Raw], changes: Mapping[str, list[Piece]]
) -> Text:
    """*text*, whose members at the top are *top*, with some of them made anew."""
    if not changes:
        return [text], text is EMPTY
    return pieces({**top, **changes}), True
