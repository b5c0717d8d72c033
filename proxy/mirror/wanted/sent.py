"""Files of projects that were sent as texts: laid out in a folder and read there, and nothing else.

What a text names with `-r` or `-c` must have been sent beside it: a file of the server is never
looked at. Messages name the files as they were sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from proxy.errors import ConfigError, StorageError
from proxy.mirror.wanted.closure import Failure
from proxy.mirror.wanted.reading import read
from proxy.mirror.wanted.sent_file import SentFile
from proxy.mirror.wanted.targets import Targets
from proxy.mirror.wanted.values import Wanted

_LONGEST = 200  # bytes of one part of a name: what every file system takes
_DEEPEST = 8  # folders that a name leads through


class Sent:
    """Texts in *folder*, which is empty at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def read(
        self, files: Iterable[SentFile], beside: Iterable[SentFile], targets: Targets
    ) -> Wanted:
        """What *files* ask for, those *beside* them only as far as they are named there.

        Raises ConfigError where a name or a text is wrong, and StorageError.
        """
        asking = list(files)
        for one in (*asking, *beside):
            self._lay(one)
        try:
            return Wanted.together(
                read(self._folder / one.name, targets, form=one.format, within=self._folder)
                for one in asking
            )
        except ConfigError as error:
            raise ConfigError(self.as_sent(str(error))) from error

    def as_sent(self, text: str) -> str:
        """*text* with the files' names as they were sent."""
        return text.replace(f"{self._folder}/", "")

    def failure(self, one: Failure) -> Failure:
        """The same of a failure."""
        return replace(one, reason=self.as_sent(one.reason), where=self.as_sent(one.where))

    def _lay(self, one: SentFile) -> None:
        path = self._folder / _checked(one.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(one.text)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ConfigError(f"{one.name}: two files of that name were sent") from error
        except UnicodeEncodeError as error:
            raise ConfigError(f"{one.name}: is no text: {error.reason}") from error
        except OSError as error:
            raise StorageError(f"{one.name} cannot be kept: {error.strerror}") from error


def _checked(name: str) -> str:
    """A name that stays in its folder. Raises ConfigError."""
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and ".." not in parts and name.isprintable()
    if not (plain and 0 < len(parts) <= _DEEPEST):
        raise ConfigError(
            f"{name[:_LONGEST]!r} is no name of a file here; write one such as requirements.txt"
        )
    if any(len(part.encode()) > _LONGEST for part in parts) or name.startswith("/"):
        raise ConfigError(f"{name[:_LONGEST]!r} is no name of a file here; write a shorter one")
    return name
