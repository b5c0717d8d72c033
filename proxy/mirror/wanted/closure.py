"""What a closure is: the files that are needed, and what of it cannot be had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.errors import Denied, ProxyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """One file: its address on the server, and the digest that a lock promises of it."""

    url: str
    sha256: str | None = None
    where: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that is wanted, but not to be had. `rule`: the policy's, where it refuses."""

    what: str
    reason: str
    where: str = ""
    rule: str | None = None

    @classmethod
    def of(cls, what: str, error: ProxyError, where: str = "") -> Failure:
        """Why *error* keeps *what* away."""
        rule = error.rule if isinstance(error, Denied) else None
        return cls(what=what, reason=str(error), where=where, rule=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """The files that something comes to, and what is missing from it."""

    files: tuple[Needed, ...] = ()
    failures: tuple[Failure, ...] = ()

    @staticmethod
    def together(parts: Iterable[Closure]) -> Closure:
        """All of them, each file and failure once; a digest that is promised is kept."""
        files: dict[str, Needed] = {}
        failures: dict[Failure, None] = {}
        for part in parts:
            for file in part.files:
                known = files.get(file.url)
                if known is None or known.sha256 is None:
                    files[file.url] = file
            failures |= dict.fromkeys(part.failures)
        return Closure(files=tuple(files.values()), failures=tuple(failures))
