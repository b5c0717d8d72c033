"""Forms of an earlier generation, from which a rendering takes over what did not change.

What is copied out of them gets into new files, under new digests: damage on the disk would spread
and never be found. So each form is checked as a whole, when it is first asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from proxy.core.model import Digest

Content = bytes | memoryview


class Earlier(Mapping[str, Content]):
    """The forms that are there and undamaged. What is not would only save work."""

    def __init__(
        self, views: Mapping[str, tuple[Path, Digest]], opened: Callable[[Path], Content | None]
    ) -> None:
        """*views*: where the forms lie, and what their digests should be; *opened* gives what a
        file holds, if it is there.
        """
        self._views = views
        self._opened = opened
        self._found: dict[str, Content | None] = {}

    def __getitem__(self, form: str) -> Content:
        if form not in self._found:
            path, digest = self._views[form]
            content = self._opened(path)
            is_whole = content is not None and hashlib.sha256(content).hexdigest() == digest
            self._found[form] = content if is_whole else None
        found = self._found[form]
        if found is None:
            raise KeyError(form)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from (form for form in self._views if self.get(form) is not None)

    def __len__(self) -> int:
        return len(list(iter(self)))
