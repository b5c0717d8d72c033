"""What holds for the whole run: programs hear of SIGINT, and no server has shown a secret."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.secrets import left_behind

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So begins what a shell without job control starts behind itself, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look into the logs, pages, catalogs and stores of all servers that tests have started."""
    yield
    assert list(left_behind(tmp_path_factory.getbasetemp())) == []
