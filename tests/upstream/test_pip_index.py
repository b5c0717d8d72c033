"""The source `auto`: what pip on this machine is configured for, in pip's own order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.upstream.pip_index import PipIndex, configured

URL = "https://{}.example.org/simple/"
PLACES = {
    # From the weakest to the strongest, as pip's documentation has them.
    "xdg-one": "dirs/one/pip/pip.conf",
    "xdg-two": "dirs/two/pip/pip.conf",
    "machine": "etc/pip.conf",
    "legacy": "home/.pip/pip.conf",
    "user": "home/.config/pip/pip.conf",
    "site": "venv/pip.conf",
    "given": "given.conf",
}


class Machine:
    """A machine whose configuration files all lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "HOME": str(folder / "home"),
            "XDG_CONFIG_DIRS": f"{folder / 'dirs/one'}{os.pathsep}{folder / 'dirs/two'}",
        }

    def write(self, place: str, text: str | bytes) -> Path:
        path = self.folder / PLACES[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def say(self, place: str, *, section: str = "global", value: str | None = None) -> None:
        text = f"[{section}]\nindex-url = {URL.format(place) if value is None else value}\n"
        self.write(place, text)

    def found(self, **environ: str) -> str | None:
        return configured(
            {**self.environ, **environ},
            machine=self.folder / "etc",
            prefix=self.folder / "venv",
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_configured(machine: Machine) -> None:
    assert machine.found() is None
    machine.write("user", "[global]\ntimeout = 3\n[list]\nindex-url = x\n")
    assert machine.found() is None


def test_each_file_overrides_those_before_it(machine: Machine) -> None:
    for place in list(PLACES)[:-1]:
        machine.say(place)
        assert machine.found() == URL.format(place)


def test_the_environment_overrides_every_file(machine: Machine) -> None:
    machine.say("site")
    machine.say("given")
    given = str(machine.folder / PLACES["given"])
    assert machine.found(PIP_CONFIG_FILE=given) == URL.format("given")
    url = URL.format("env")
    assert machine.found(PIP_CONFIG_FILE=given, PIP_INDEX_URL=url) == url
    assert machine.found(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=url) == url
    assert machine.found(PIP_INDEX_URL="") == URL.format("site")


def test_a_given_file_is_read_instead_of_the_users(machine: Machine) -> None:
    machine.say("machine")
    machine.say("user")
    given = machine.write("given", "[global]\ntimeout = 3\n")
    assert machine.found(PIP_CONFIG_FILE=str(given)) == URL.format("machine")
    assert machine.found(PIP_CONFIG_FILE=f"{given}.none") == URL.format("user")


def test_the_null_device_turns_all_files_off(machine: Machine) -> None:
    for place in PLACES:
        machine.write(place, "rubbish")
    assert machine.found(PIP_CONFIG_FILE=os.devnull) is None


def test_the_users_folder_may_be_moved(machine: Machine) -> None:
    machine.say("user")
    elsewhere = machine.folder / "elsewhere"
    assert machine.found(XDG_CONFIG_HOME=str(elsewhere)) is None
    assert machine.found(XDG_CONFIG_HOME="") == URL.format("user")


def test_a_commands_section_overrides_the_global_one_of_any_file(machine: Machine) -> None:
    machine.say("machine", section="install")
    machine.say("user")
    assert machine.found() == URL.format("machine")
    machine.say("legacy", section="download")
    assert machine.found() == URL.format("machine")


def test_an_empty_value_says_nothing(machine: Machine) -> None:
    machine.say("machine")
    machine.say("user", value="")
    assert machine.found() is None
    machine.say("site", section="install", value="")
    machine.say("user")
    assert machine.found() == URL.format("user")


@pytest.mark.parametrize("key", ["index-url", "index_url", "Index-URL", "index-url  "])
def test_spellings_of_the_key(machine: Machine, key: str) -> None:
    machine.write("user", f"[global]\n{key}: {URL.format('a')}\n")
    assert machine.found() == URL.format("a")


@pytest.mark.parametrize(
    "text",
    [
        "index-url = https://u:s3cret@a.example.org/",
        "[global]\nnonsense-s3cret\n",
        "[global]\nindex-url = a\nindex-url = https://u:s3cret@a.example.org/\n",
        "[global]\n[global]\n",
        b"[global]\nindex-url = \xff\xfes3cret\n",
    ],
)
def test_a_broken_file_is_named_but_not_quoted(machine: Machine, text: str | bytes) -> None:
    path = machine.write("user", text)
    with pytest.raises(ConfigError) as caught:
        machine.found()
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_folder_in_place_of_a_file_is_reported(machine: Machine) -> None:
    (machine.folder / PLACES["site"]).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"venv/pip\.conf cannot be read"):
        machine.found()


# -- the public index --------------------------------------------------------------------


def test_the_process_is_started_only_if_it_is_needed(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    text = f"open({str(mark)!r}, 'w').close(); print('https://public.example.org/simple/')"
    command = (sys.executable, "-c", text)
    url = URL.format("env")
    assert PipIndex({"PIP_INDEX_URL": url}, command=command).result() == url
    assert not mark.exists()
    asked = PipIndex({"PIP_CONFIG_FILE": os.devnull}, command=command)
    assert asked.result() == "https://public.example.org/simple/"
    assert asked.result() == "https://public.example.org/simple/"
    assert mark.exists()


@pytest.mark.parametrize("text", ["", "raise SystemExit(1)", "print()"])
def test_a_process_that_says_nothing_is_reported(text: str) -> None:
    found = PipIndex({"PIP_CONFIG_FILE": os.devnull}, command=(sys.executable, "-c", text))
    with pytest.raises(ConfigError, match="write its address instead"):
        found.result()


def test_the_library_knows_the_public_index() -> None:
    pytest.importorskip("pypi_simple")
    url = PipIndex({"PIP_CONFIG_FILE": os.devnull}).result()
    assert url.startswith("https://")
    assert url.endswith("/simple/")
