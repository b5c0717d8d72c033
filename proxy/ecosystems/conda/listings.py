"""Indexes about packages that list no files to install: run exports (CEP 12) and channel data
(CEP 38). They are never rewritten, but what is hidden is left out of them, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.core.model import Index
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda.gate import known
from proxy.ecosystems.conda.judging import Judging
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
    return _changed(text, top, changes)


def channeldata(index: Index, body: Body, context: Context) -> Text:
    """Without the packages that the policy hides by their name alone. Raises BadIndex.

    Their files are in several subdirs; what depends on the file is decided there.
    """
    text = plain_text(index, body)
    top = objects(text, index.path)
    if context.policy is None or "packages" not in top:
        return [text], text is EMPTY
    judging = Judging(index, body, context, context.policy)
    packages = objects(top["packages"], f"{index.path}, packages")
    hidden = {name: None for name in packages if judging.hides_all(name)}
    return _changed(text, top, {"packages": [Filtered(packages, hidden)]} if hidden else {})


def _changed(
    text: bytes | memoryview, top: Mapping[str, msgspec.Raw], changes: Mapping[str, list[Piece]]
) -> Text:
    if not changes:
        return [text], text is EMPTY
    return pieces({**top, **changes}), True
