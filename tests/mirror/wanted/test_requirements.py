"""requirements.txt as pip reads it: includes, constraints, options, digests, comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.mirror.wanted.requirements import read
from proxy.mirror.wanted.values import Beyond, Requirements, Wanted
from tests.mirror.wanted.samples import written

DIGEST = "0" * 64


def _requirements(wanted: Wanted) -> Requirements:
    found = wanted.items[0]
    assert isinstance(found, Requirements)
    return found


def _required(wanted: Wanted) -> list[str]:
    return [str(one.requirement) for one in _requirements(wanted).required]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("requests", "requests"),
        ("  requests >= 2 , <3  ", "requests<3,>=2"),
        ("requests[socks,security]==2.1", "requests[security,socks]==2.1"),
        ("a; python_version < '3.9'", 'a; python_version < "3.9"'),
        ("a==1  # why", "a==1"),
        ("a==1 \\\n  ; sys_platform == 'linux'", 'a==1; sys_platform == "linux"'),
        (f"a==1 --hash=sha256:{DIGEST}", "a==1"),
        (f"a==1 \\\n    --hash=sha256:{DIGEST} \\\n    --hash sha512:ff", "a==1"),
        ("a==1 --config-settings='x=y'", "a==1"),
        ("\ufeffa==1", "a==1"),
    ],
)
def test_a_requirement_is_understood(tmp_path: Path, line: str, expected: str) -> None:
    wanted = read(written(tmp_path, "requirements.txt", f"{line}\n"))
    assert _required(wanted) == [expected]


def test_digests_stay_with_their_requirement(tmp_path: Path) -> None:
    text = f"a==1 --hash=sha256:{DIGEST} --hash=sha512:ff\nb==1\n"
    first, second = _requirements(read(written(tmp_path, "r.txt", text))).required
    assert first.hashes == {f"sha256:{DIGEST}", "sha512:ff"}
    assert not second.hashes


def test_includes_are_followed_from_where_they_stand(tmp_path: Path) -> None:
    written(tmp_path, "sub/more.txt", "b\n-r deeper/most.txt\n-c limits.txt\n")
    written(tmp_path, "sub/deeper/most.txt", "c\n")
    written(tmp_path, "sub/limits.txt", "d<2\n")
    text = "a\n-rsub/more.txt\n--constraint=sub/limits.txt\n--requirement sub/deeper/most.txt\n"
    found = _requirements(read(written(tmp_path, "requirements.txt", text)))
    assert [str(one.requirement) for one in found.required] == ["a", "b", "c", "c"]
    assert [str(one.requirement) for one in found.constraints] == ["d<2", "d<2"]
    assert found.required[1].where == f"{tmp_path / 'sub/more.txt'}, line 1"


def test_what_a_constraints_file_includes_only_constrains(tmp_path: Path) -> None:
    written(tmp_path, "c.txt", "-r inner.txt\n")
    written(tmp_path, "inner.txt", "b<2\n")
    found = _requirements(read(written(tmp_path, "r.txt", "a\n-c c.txt\n")))
    assert [str(one.requirement) for one in found.required] == ["a"]
    assert [str(one.requirement) for one in found.constraints] == ["b<2"]


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "b.txt", "-r a.txt\n")
    with pytest.raises(ConfigError, match=r"a\.txt: includes itself, through .*b\.txt"):
        read(written(tmp_path, "a.txt", "-r b.txt\n"))


def test_options_count_or_are_named_in_a_note(tmp_path: Path) -> None:
    text = (
        "--pre\n--only-binary numpy,scipy\n--prefer-binary --no-index\n"
        "-i https://user:secret@pypi.example.org/simple\n--find-links=./wheels\na\n"
    )
    path = written(tmp_path, "r.txt", text)
    wanted = read(path)
    found = _requirements(wanted)
    assert found.prereleases
    assert found.only_wheels == {"numpy", "scipy"}
    assert len(wanted.notes) == 4
    assert wanted.notes[2].startswith(f"{path}, line 4: --index-url https://pypi.example.org")
    assert not any("secret" in note for note in wanted.notes)


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-e git+https://git.example.org/a.git#egg=a",
        "a @ https://files.example.org/a-1.0-py3-none-any.whl",
        "https://files.example.org/a-1.0-py3-none-any.whl",
        "git+ssh://git@git.example.org/a.git",
        "./wheels/a-1.0-py3-none-any.whl",
        "/srv/wheels/a-1.0.tar.gz",
        "a-1.0.tar.gz",
        "file:a-1.0.zip",
    ],
)
def test_what_no_mirror_has_is_named_and_the_rest_is_read(tmp_path: Path, line: str) -> None:
    wanted = read(written(tmp_path, "r.txt", f"{line}\nb\n"))
    assert _required(wanted) == ["b"]
    (beyond,) = (item for item in wanted.items if isinstance(item, Beyond))
    assert beyond.where.endswith("r.txt, line 1")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--no-binary :all:", "the option --no-binary is not supported"),
        ("-r", "--requirement lacks its value"),
        ("-r https://files.example.org/r.txt", "of an address is not followed"),
        ("-r missing.txt", r"missing\.txt: cannot be read"),
        ("a==", "'a==' is no requirement"),
        ("a b", "'a b' is no requirement"),
        ("a==1 --hash=md5:00", "--hash=md5:00 is not like sha256:"),
        ("a==1 --no-deps", "the option --no-deps is not supported"),
        ("-r 'x", "No closing quotation"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        read(written(tmp_path, "r.txt", f"{line}\n"))
