"""The pages beside the mirrors."""

from __future__ import annotations

import asyncio
import json
import time

from aiohttp.test_utils import make_mocked_request

from proxy.core.circuit import State
from proxy.upstream.circuits import Trouble
from proxy.web.access import Access
from proxy.web.pages import Pages
from proxy.web.paths import Mirrors


def test_hosts_that_are_left_alone_are_shown() -> None:
    trouble = Trouble(
        host="files.example.org:443", state=State.HALF_OPEN, failures=7, wait=1.0, left_alone_by=2
    )
    pages = Pages(
        lambda: Mirrors(()), lambda: b"", lambda: True, lambda: [trouble], Access(time.time)
    )
    answer = asyncio.run(pages.upstreams(make_mocked_request("GET", "/upstreams")))
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "troubled": [
            {
                "host": "files.example.org:443",
                "state": "half-open",
                "failures": 7,
                "wait": 1.0,
                "left_alone_by": 2,
            }
        ]
    }
