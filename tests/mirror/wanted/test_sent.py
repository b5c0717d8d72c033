"""Files that were sent as texts: read as in their project, and nothing of the machine besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.mirror.wanted.closure import Failure
from proxy.mirror.wanted.sent import Sent
from proxy.mirror.wanted.sent_file import SentFile
from proxy.mirror.wanted.values import Requirements
from tests.mirror.wanted.samples import targets


def _file(name: str, text: str = "", form: str | None = None) -> SentFile:
    return SentFile(name=name, text=text, format=form)


def _names(folder: Path, *files: SentFile, beside: tuple[SentFile, ...] = ()) -> list[str]:
    (found,) = Sent(folder).read(files, beside, targets()).items
    assert isinstance(found, Requirements)
    return [one.requirement.name for one in found.required]


def test_a_file_is_read_with_those_beside_it(tmp_path: Path) -> None:
    asking = _file("app/requirements.txt", "-r ../base.txt\n-c limits.txt\nlocal\n")
    beside = (_file("base.txt", "shared\n"), _file("app/limits.txt", "shared<2\n"))
    assert _names(tmp_path, asking, beside=beside) == ["shared", "local"]


def test_a_format_can_be_said(tmp_path: Path) -> None:
    assert _names(tmp_path, _file("wants", "one\n", "requirements")) == ["one"]


@pytest.mark.parametrize("how", ["-r", "-c"])
@pytest.mark.parametrize("name", ["{outside}", "../../outside.txt", "none.txt", "/etc/passwd"])
def test_nothing_is_read_that_was_not_sent(tmp_path: Path, how: str, name: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret-of-the-server\n")
    folder = tmp_path / "sent" / "here"
    folder.mkdir(parents=True)
    text = f"{how} {name.format(outside=outside)}\n"
    for one in (
        _file("requirements.txt", text),
        _file("environment.yml", f"dependencies: [pip: ['{text.strip()}']]\n"),
    ):
        with pytest.raises(ConfigError, match="was not sent along") as caught:
            Sent(folder).read([one], (), targets())
        assert "secret-of-the-server" not in str(caught.value)
        assert str(caught.value).startswith(one.name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a.txt", "/etc/a.txt", "a/../b.txt", "a//b.txt", "./a.txt", "a/", "a\0.txt",
     "a\nb.txt", "é" * 101, "/".join("abcdefghi"), "/" * 300],
)  # fmt: skip
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is no name of a file here"):
        Sent(folder).read([_file(name, "one\n", "requirements")], (), targets())
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "a.txt/b.txt"), ("a/b.in", "a")])
def test_names_do_not_collide(tmp_path: Path, names: tuple[str, str]) -> None:
    first, second = (_file(name, "one\n", "requirements") for name in names)
    with pytest.raises(ConfigError, match="two files of that name were sent"):
        Sent(tmp_path).read([first], [second], targets())


def test_what_is_wrong_is_told_with_the_name_that_was_sent(tmp_path: Path) -> None:
    sent = Sent(tmp_path)
    with pytest.raises(ConfigError) as caught:
        sent.read([_file("app/requirements.txt", "one\n==what==\n")], (), targets())
    assert str(caught.value).startswith("app/requirements.txt, line 2: ")
    assert str(tmp_path) not in str(caught.value)
    late = Failure(what="one", reason="gone", where=f"{tmp_path}/a.txt, line 1")
    assert sent.failure(late).where == "a.txt, line 1"
