"""What takes second place goes on where that is forbidden."""

from __future__ import annotations

import os

import pytest

from proxy.gateway.urgency import take_second_place


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
