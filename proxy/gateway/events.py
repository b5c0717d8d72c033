"""What the gateway tells of its work. The application turns it into metrics and log lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proxy.core.model import Index


class Events(Protocol):
    """Hears what happens; must not raise and must not wait."""

    def rendered(self, index: Index, forms: frozenset[str], seconds: float) -> None:
        """Views of *index* were made."""

    def hid(self, index: Index, hidden: Mapping[str, int]) -> None:
        """The newest views of *index* leave out so many files, by the policy's rule."""

    def refreshed(self, index: Index, outcome: str) -> None:
        """Upstream was asked for *index*: `new`, `unchanged`, `missing` or an error's name."""

    def collapsed(self, mirror: str) -> None:
        """A request joined a flight that another had started."""

    def stale(self, mirror: str, cause: str) -> None:
        """Something stale was served: `updating` or an error's name."""

    def filling(self, mirror: str, change: int) -> None:
        """A fill began (+1) or ended (-1)."""

    def unstored(self, mirror: str, error: BaseException) -> None:
        """A body was passed on to its client because there was no room for it."""

    def failed(self, what: str, error: BaseException) -> None:
        """Work that belongs to the server failed; clients that waited for it know already."""

    def wrong(self, mirror: str, what: str, error: BaseException) -> None:
        """A body was not what its index promised, or not an index at all."""


class Silence:
    """Hears nothing: for tests that look elsewhere."""

    def rendered(self, index: Index, forms: frozenset[str], seconds: float) -> None: ...
    def hid(self, index: Index, hidden: Mapping[str, int]) -> None: ...
    def refreshed(self, index: Index, outcome: str) -> None: ...
    def collapsed(self, mirror: str) -> None: ...
    def stale(self, mirror: str, cause: str) -> None: ...
    def filling(self, mirror: str, change: int) -> None: ...
    def unstored(self, mirror: str, error: BaseException) -> None: ...
    def failed(self, what: str, error: BaseException) -> None: ...
    def wrong(self, mirror: str, what: str, error: BaseException) -> None: ...
