"""A file that has just landed is waited for until the catalog knows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.core.model import Plain, Source
from proxy.errors import StorageError
from proxy.gateway.answer import Want
from proxy.gateway.fill import Landed
from proxy.gateway.gateway import LANDING, LOOKS, Gateway

FILE = Plain(mirror="files/f", path="a", source=Source(path="a"))


@pytest.mark.parametrize("times", [0, 1, 10, LOOKS - 1, LOOKS])
def test_it_is_looked_for_again_and_not_for_ever(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(times))
    slept: list[float] = []

    async def opened(*_: Any) -> str:
        if next(left, None) is not None:
            raise Landed
        return "found"

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    gateway: Any = object.__new__(Gateway)
    gateway._open = opened
    monkeypatch.setattr("proxy.gateway.gateway.asyncio.sleep", sleep)
    if times < LOOKS:
        assert asyncio.run(gateway._landed(FILE, None, Want())) == "found"
    else:
        with pytest.raises(StorageError, match="a keeps vanishing"):
            asyncio.run(gateway._landed(FILE, None, Want()))
    assert slept == [look * LANDING for look in range(times)]
    assert sum(slept) < 4
