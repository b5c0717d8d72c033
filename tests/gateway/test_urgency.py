"""What takes second place goes on where that is forbidden."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proxy.gateway.urgency import (
    started_in_second_place,
    take_last_place,
    take_second_place,
)


def _forbidden(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_who_may_not_be_less_urgent_works_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", _forbidden)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *these: asked.append(these[1]))
    take_second_place()
    assert asked == [os.SCHED_BATCH]
    monkeypatch.setattr(os, "sched_setscheduler", _forbidden)
    take_second_place()
    take_last_place()


def test_second_place_is_taken_once() -> None:
    code = (
        "import os\n"
        "from proxy.gateway.urgency import take_second_place\n"
        "os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\n"
        "before = os.nice(0)\n"
        "take_second_place()\n"
        "take_second_place()\n"
        "print(before, os.nice(0))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert after == min(before + 10, 19)


_SAYS = "import os; print(os.nice(0), os.sched_getscheduler(0))"


def test_a_process_is_less_urgent_from_its_first_moment_and_who_starts_it_is_not() -> None:
    mine = os.nice(0), os.sched_getscheduler(0)
    said: list[str] = []

    def start() -> None:
        command = [sys.executable, "-c", _SAYS]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        said.extend(ran.stdout.split())

    started_in_second_place(start)
    assert [int(one) for one in said] == [min(mine[0] + 10, 19), os.SCHED_BATCH]
    assert (os.nice(0), os.sched_getscheduler(0)) == mine


def test_last_place_is_taken_by_a_thread_and_not_by_those_that_were_there() -> None:
    code = (
        "import os\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from proxy.gateway.urgency import take_last_place, take_second_place\n"
        "take_second_place()\n"
        "early, late = ThreadPoolExecutor(1), ThreadPoolExecutor(1)\n"
        "early.submit(int).result()\n"
        "take_last_place()\n"
        "print(os.sched_getscheduler(0))\n"
        "print(*(one.submit(os.sched_getscheduler, 0).result() for one in (early, late)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [int(one) for one in ran.stdout.split()] == [
        os.SCHED_IDLE,
        os.SCHED_BATCH,
        os.SCHED_IDLE,
    ]
