"""Files that were damaged: whatever is in them, they are read or refused in our own words."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import ConfigError
from proxy.mirror.wanted.reading import read
from tests.mirror.wanted import samples
from tests.mirror.wanted.samples import targets

REQUIREMENTS = """\
--pre
-c limits.txt
requests[socks]>=2 ; python_version < "3.13" \\
    --hash=sha256:0123456789abcdef --hash=sha512:ff
-e git+https://git.example.org/a.git#egg=a
numpy==2.*  # why
"""
SAMPLES = {
    "environment": samples.ENVIRONMENT,
    "requirements": REQUIREMENTS,
    "pylock": samples.PYLOCK,
    "uv": samples.UV_LOCK,
    "conda-lock": samples.CONDA_LOCK,
    "pixi": samples.PIXI_LOCK,
    "explicit": samples.EXPLICIT,
    "renv": samples.RENV,
    "specs": samples.SPECS,
}
PIECES = (
    "",
    "\n",
    "[",
    "]",
    "{}",
    ":",
    "- ",
    '"',
    "'",
    "=",
    "#",
    "\\",
    "1",
    "null",
    "\x00",
    "é",
    "@",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage")
    (path / "limits.txt").write_text("a<2\n")
    (path / "more.txt").write_text("a\n")
    return path


@pytest.mark.parametrize("form", SAMPLES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(folder: Path, form: str, data: st.DataObject) -> None:
    text = SAMPLES[form]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    path = folder / f"file.{form}"
    path.write_text(text)
    with contextlib.suppress(ConfigError):
        read(path, targets("linux-64", "win-64"), form=form)
