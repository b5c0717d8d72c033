"""Large jobs run in processes that mind their own business."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from proxy.gateway.pool import THREAD_LIMIT, Pool

LARGE = THREAD_LIMIT + 1


def _signalled(number: int) -> int:
    os.kill(os.getpid(), number)
    return os.getpid()


def _where(_: None) -> tuple[int, int, int]:
    return os.getpid(), os.nice(0), os.sched_getscheduler(0)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_signals_to_the_servers_group_do_not_end_a_rendering(number: int) -> None:
    async def main() -> None:
        pool = Pool(processes=1)
        try:
            process = await pool.run(_signalled, number, size=LARGE)
            assert process != os.getpid()
            assert await pool.run(_signalled, number, size=LARGE) == process
        finally:
            await pool.aclose()

    asyncio.run(main())


def test_small_jobs_stay_and_large_ones_go_where_they_are_less_urgent() -> None:
    async def main() -> None:
        pool = Pool(processes=1)
        try:
            here, urgency, _ = await pool.run(_where, None, size=THREAD_LIMIT)
            there, less, scheduling = await pool.run(_where, None, size=LARGE)
        finally:
            await pool.aclose()
        assert here == os.getpid() != there
        assert less > urgency
        assert scheduling == os.SCHED_BATCH  # on waking it interrupts nobody

    asyncio.run(main())
