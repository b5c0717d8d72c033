"""`requirements.txt`: pip's requirements with its options, includes and constraints.

What a mirror can have is taken over; an option that changes nothing of that is named in a note;
one that would change it, but that is not understood here, is an error.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from proxy.core.urls import redacted
from proxy.errors import ConfigError
from proxy.mirror.wanted import documents
from proxy.mirror.wanted.values import Beyond, Item, Required, Requirements, Wanted

_COMMENT = re.compile(r"(^|\s+)#.*$")
_HASH = re.compile(r"(sha256|sha384|sha512):[0-9a-f]+")

_OPTION = re.compile(r"(?:^|\s)(?=--[a-z])")
_DIRECT = re.compile(r"(?:[a-z][a-z0-9+.-]*:|\.{0,2}/|~|[A-Za-z]:\\|\\\\)", re.IGNORECASE)
_ARCHIVE = re.compile(r"[^\s;\[]+\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz)\b")

_SHORT = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable"}
_SHORT |= {"-i": "--index-url", "-f": "--find-links"}

_ELSEWHERE = {"--index-url", "--extra-index-url", "--find-links"}
_ASIDE = {
    *("--no-index", "--trusted-host", "--require-hashes", "--prefer-binary", "--use-feature"),
    "--no-cache-dir",
}
_FLAGS = {"--pre", "--no-index", "--require-hashes", "--prefer-binary", "--no-cache-dir"}
_DEEPEST = 20  # files that include each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What lines of requirements come to."""

    requirements: Requirements | None
    beyond: tuple[Beyond, ...]
    notes: tuple[str, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All of it together."""
        if self.requirements is None:
            return self.beyond
        return (self.requirements, *self.beyond)


def read(path: Path, within: Path | None = None) -> Wanted:
    """What *path* and the files that it names require; these must lie *within* that folder.

    Raises ConfigError.
    """
    reading = _Reading(within=within)
    reading.file(path, constraint=False, via=())
    asked = reading.asked(str(path))
    return Wanted(items=asked.items, notes=asked.notes)


def of_lines(lines: Iterable[tuple[str, str]], file: Path, within: Path | None = None) -> Asked:
    """The same of lines in another file, each with where it stands. Raises ConfigError."""
    reading = _Reading(within=within)
    for where, line in lines:
        reading.line(line, where, file, constraint=False, via=(file.resolve(),))
    return reading.asked(str(file))


@dataclass(slots=True)
class _Reading:
    """What has been read so far, over all files."""

    within: Path | None = None
    required: list[Required] = field(default_factory=list)
    constraints: list[Required] = field(default_factory=list)
    beyond: list[Beyond] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    only_wheels: set[str] = field(default_factory=set)
    prereleases: bool = False

    def asked(self, where: str) -> Asked:
        found = None
        if self.required:
            found = Requirements(
                where=where,
                required=tuple(self.required),
                constraints=tuple(self.constraints),
                prereleases=self.prereleases,
                only_wheels=frozenset(self.only_wheels),
            )
        return Asked(requirements=found, beyond=tuple(self.beyond), notes=tuple(self.notes))

    def _named(self, file: Path, value: str, where: str) -> Path:
        """The file that *file* names so. Raises ConfigError where it is not to be looked at."""
        path = file.parent / value
        if self.within is not None and not (
            path.resolve().is_relative_to(self.within.resolve()) and path.is_file()
        ):
            raise ConfigError(f"{where}: {value} was not sent along; send it beside this file")
        return path

    def file(self, path: Path, *, constraint: bool, via: tuple[Path, ...]) -> None:
        """Raises ConfigError."""
        text = documents.text(path)
        real = path.resolve()
        if real in via or len(via) > _DEEPEST:
            raise ConfigError(f"{path}: includes itself, through {via[-1]}")
        for number, line in _lines(text):
            where = f"{path}, line {number}"
            self.line(line, where, path, constraint=constraint, via=(*via, real))

    def line(
        self, line: str, where: str, file: Path, *, constraint: bool, via: tuple[Path, ...]
    ) -> None:
        """One line of *file*, its continuations joined. Raises ConfigError."""
        line = _COMMENT.sub("", line).strip()
        if not line:
            return
        if line.startswith("-"):
            for name, value in _options(line, where):
                self._option(name, value, where, file, constraint=constraint, via=via)
            return
        self._requirement(line, where, constraint=constraint)

    def _option(
        self,
        name: str,
        value: str,
        where: str,
        file: Path,
        *,
        constraint: bool,
        via: tuple[Path, ...],
    ) -> None:
        match name:
            case "--requirement" | "--constraint":
                if "://" in value:
                    raise ConfigError(
                        f"{where}: {name} of an address is not followed; save the "
                        "file and write its path"
                    )
                inner = constraint or name == "--constraint"
                self.file(self._named(file, value, where), constraint=inner, via=via)
            case "--editable":
                self._beyond(value, where, "an editable project is not a file of a mirror")
            case "--pre":
                self.prereleases = True
            case "--only-binary":
                self.only_wheels |= {one.strip() for one in value.split(",")}
            case _ if name in _ELSEWHERE:
                shown = redacted(value)
                self.notes.append(f"{where}: {name} {shown} is left aside: files come from mirrors")
            case _ if name in _ASIDE:
                self.notes.append(f"{where}: {name} is left aside")
            case _:
                raise ConfigError(f"{where}: the option {name} is not supported here")

    def _requirement(self, line: str, where: str, *, constraint: bool) -> None:
        text, *options = _OPTION.split(line)
        hashes = frozenset(_hashes(options, where))
        text = text.strip()
        if _DIRECT.match(text) or _ARCHIVE.fullmatch(text.partition(";")[0].strip()):
            self._beyond(redacted(text), where, "it is named by its address, not by a project")
            return
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            problem = str(error).splitlines()[0]
            raise ConfigError(f"{where}: {text!r} is no requirement: {problem}") from error
        if requirement.url is not None:
            reason = f"it is named by its address {redacted(requirement.url)}, not by a version"
            self._beyond(requirement.name, where, reason)
            return
        required = Required(where=where, requirement=requirement, hashes=hashes)
        (self.constraints if constraint else self.required).append(required)

    def _beyond(self, what: str, where: str, reason: str) -> None:
        self.beyond.append(Beyond(where=where, what=what, reason=reason))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that end in a backslash are joined to the next, as by pip."""
    start, held = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not held:
            start = number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            held += line[:-1] + " "
            continue
        yield start, held + line
        held = ""
    if held:
        yield start, held


def _options(line: str, where: str) -> Iterator[tuple[str, str]]:
    """The options of a line and their values. Raises ConfigError."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"{where}: {line!r}: {error}") from error
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not equals and not word.startswith("--") and len(word) > 2:
            name, value, equals = word[:2], word[2:], "="  # -rother.txt
        name = _SHORT.get(name, name)
        if not equals and name not in _FLAGS:
            value = next(rest, "")
            if not value:
                raise ConfigError(f"{where}: {name} lacks its value")
        yield name, value


def _hashes(options: Iterable[str], where: str) -> Iterator[str]:
    """Raises ConfigError."""
    for option in options:
        name, _, value = option.replace("=", " ", 1).strip().partition(" ")
        value = value.strip()
        if name in ("--config-settings", "--global-option"):
            continue  # of a build, which happens elsewhere
        if name != "--hash":
            raise ConfigError(f"{where}: the option {name} is not supported here")
        if not _HASH.fullmatch(value):
            raise ConfigError(f"{where}: --hash={value} is not like sha256:<digits>")
        yield value
