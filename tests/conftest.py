"""What holds for the whole run: no server has shown a secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.secrets import left_behind


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look into the logs, pages, catalogs and stores of all servers that tests have started."""
    yield
    assert list(left_behind(tmp_path_factory.getbasetemp())) == []
