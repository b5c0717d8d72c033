"""How one setting is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.config.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting: its name, kind, default (as a file would say it) and one sentence.

    `files` is the default for mirrors of that type, where it differs: of a plain tree of files
    nothing is known, so that upstream's word is law.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    files: Any = None

    def default_for(self, mirror_type: object) -> Any:
        """The default for a mirror of that type."""
        return self.files if mirror_type == "files" and self.files is not None else self.default
