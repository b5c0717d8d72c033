"""What the unit forbids, without systemd: `python -m tests.systemd.confined UNIT COMMAND…`.

The lists of system calls are systemd's own (`systemd-analyze syscall-filter`), the filters are
installed by libseccomp as systemd does. But what the unit answers with an error here ends the
process (SIGSYS), so that nothing that is tried and found forbidden goes unseen. Of the other
restrictions those are here that seccomp makes, too: kinds of sockets, and memory that is both
written and run, which libffi tries and must be refused.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import mmap
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
EQUAL, MASKED_EQUAL = 4, 7
"""Of libseccomp's comparisons."""

OF_ROOT = ("fchown",)
"""What SQLite calls for root alone, so that its files belong to the folder's owner; the service
is not root, and tests may be."""


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def assignments(unit: Path) -> dict[str, list[str]]:
    """Those of a unit's file, by key; the same key may come more than once."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found[key].append(value)
    return found


def groups() -> dict[str, list[str]]:
    """systemd's groups of system calls. Raises CalledProcessError."""
    command = ["systemd-analyze", "syscall-filter", "--no-pager"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    members: list[str] = []
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            members = found[word] = []
        elif word and not word.startswith("#"):
            members.append(word)
    return found


def allowed(filters: Iterable[str], known: Mapping[str, list[str]]) -> set[str]:
    """What `SystemCallFilter=` lines, the first of them a list of what is allowed, leave."""
    names = _calls(["@default"], known)
    for line in filters:
        if line.startswith("~"):
            names -= _calls(line[1:].split(), known)
        else:
            names |= _calls(line.split(), known)
    return names


def _calls(words: Iterable[str], known: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    for word in words:
        found |= _calls(known[word], known) if word.startswith("@") else {word}
    return found


class _Filter:
    """One filter, by libseccomp. Raises OSError."""

    def __init__(self, library: ctypes.CDLL, otherwise: int) -> None:
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(otherwise)))

    def rule(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return  # not one of this machine's
        array = (_Comparison * len(comparisons))(*(_Comparison(*one) for one in comparisons))
        self._checked(
            self._library.seccomp_rule_add_array(
                self._context, ctypes.c_uint32(action), number, len(comparisons), array
            ),
            call,
        )

    def load(self) -> None:
        self._checked(self._library.seccomp_load(self._context), "load")

    def _checked(self, status: int, what: str) -> None:
        if status < 0:
            raise OSError(-status, os.strerror(-status), what)


def confine(unit: Path) -> None:
    """Take from this process, and all that it starts, what *unit* takes from the service."""
    keys = assignments(unit)
    names = allowed(keys["SystemCallFilter"], groups())
    families = {getattr(socket, name) for name in keys["RestrictAddressFamilies"][0].split()}
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
    narrow = _Filter(library, ALLOW)
    _forbid_families(narrow, families)
    if keys["MemoryDenyWriteExecute"] == ["yes"]:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        narrow.rule(REFUSE, "mmap", (2, MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            narrow.rule(REFUSE, call, (2, MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC))
    calls = _Filter(library, KILL_PROCESS)
    for name in (*sorted(names), *(OF_ROOT if os.geteuid() == 0 else ())):
        calls.rule(ALLOW, name)
    # The first must let the second be loaded.
    narrow.load()
    calls.load()


def _forbid_families(narrow: _Filter, families: set[int]) -> None:
    for family in range(socket.AF_VSOCK + 8):
        if family not in families:
            narrow.rule(KILL_PROCESS, "socket", (0, EQUAL, family, 0))


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
