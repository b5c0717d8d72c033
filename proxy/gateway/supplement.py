"""An index whose content is put into the parts of another: conda's run exports into its shards.

Which generation of it that is was settled when the other index came, and is written down with its
entry: a view is named by what it is made of, and no client waits for one to be made anew because
something beside it changed. Nothing is fetched for it, and where it is gone it is done without.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.core.digest import Digest
from proxy.core.model import Entry

_HEADER = "(supplement)"  # no name that a header of upstream's could have


def supplemented(entry: Entry, beside: Entry | None) -> Entry:
    """*entry* with what is *beside* it, from now on."""
    if beside is None:
        return entry
    return replace(entry, headers={**entry.headers, _HEADER: f"{beside.digest} {beside.source}"})


def supplement_of(entry: Entry) -> tuple[Digest, str] | None:
    """The bytes beside *entry*, and the path that they came from, if there are any."""
    digest, _, source = entry.headers.get(_HEADER, "").partition(" ")
    return (Digest(digest), source) if digest else None
