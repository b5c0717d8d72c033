"""Work done in a copy of the process comes back whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys
from pathlib import Path
from proxy.gateway.aside import aside

def good(claim):
    yield b"one "
    yield b"two"

def failing(claim):
    yield b"half"
    raise ValueError("no")

def killed(claim):
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)

def empty(claim):
    yield from ()

def leaving(claim):
    yield b"half"
    raise SystemExit

def sharing(claim):
    while claim():
        yield b"."

begin = aside(Path(sys.argv[1]))
if begin is None:
    print("one processor")
    raise SystemExit
claim, finish = begin(locals()[sys.argv[2]], shares=1000)
mine = 0
while sys.argv[2] == "sharing" and claim():
    mine += 1
found = finish()
if sys.argv[2] == "sharing":
    found = b"a thousand" if mine + len(found or b"") == 1000 else b"others"
print(None if found is None else bytes(found).decode())
"""


@pytest.mark.parametrize(
    ("work", "result"),
    [
        ("good", "one two"),
        ("sharing", "a thousand"),
        *((one, "None") for one in ("failing", "killed", "empty", "leaving")),
    ],
)
def test_a_result_is_whole_or_none(work: str, result: str, tmp_path: Path) -> None:
    # In a process of its own: this one may have threads, with which nothing is forked.
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), work]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)
    expected = result if len(os.sched_getaffinity(0)) > 1 else "one processor"
    assert (printed.stdout.strip(), printed.stderr) == (expected, "")
    assert list(tmp_path.iterdir()) == []


def test_on_one_processor_nothing_is_done_aside(tmp_path: Path) -> None:
    program = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]){PROGRAM}"
    command = [sys.executable, "-c", program, str(tmp_path), "good"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert printed.stdout.strip() == "one processor"
