"""What is wrong with the store, told once: when it begins, and when it is over.

A full disk fails every request for something new; an operator wants to hear of it once.
"""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, str], None]
"""Hears what is in trouble, and what about it; an empty text says that it is over."""


class Trouble:
    """The troubles that there are at the moment, by what they concern."""

    def __init__(self, tell: Tell = lambda _what, _text: None) -> None:
        self._tell = tell
        self.present: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Trouble {self.present}>"

    def raised(self, what: str, why: object) -> None:
        """*what* is in trouble; nothing is told where it was already."""
        if what not in self.present:
            self.present[what] = str(why)
            self._tell(what, str(why))

    def over(self, what: str) -> None:
        """*what* works; costs nothing where it did all along."""
        if self.present and self.present.pop(what, ""):
            self._tell(what, "")
