"""Tokens outlive the process that made them, and a change is seen by those that run."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from proxy.core.tokens import Token, hashed, id_of, scope_of, spelt
from proxy.errors import ConfigError, StorageError
from proxy.storage.token_file import NameTaken, TokenFile, UnknownToken


def token(name: str, *scopes: str, expires: float | None = None) -> tuple[Token, str]:
    text = spelt(f"{abs(hash(name)):08d}"[:8], "s" * 32)
    made = Token(
        name=name,
        id=id_of(text) or "",
        digest=hashed(text),
        scopes=tuple(scope_of(scope) for scope in scopes or ("read",)),
        created=1.5,
        expires=expires,
    )
    return made, text


def test_no_file_is_no_tokens(tmp_path: Path) -> None:
    assert list(TokenFile(tmp_path / "none" / "tokens.json").read()) == []


def test_what_is_added_is_read_by_others_and_never_as_text(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tokens.json"
    made, text = token("one", "read:conda/*", "write:pypi/own", "metrics", expires=9.0)
    TokenFile(path).add(made)
    assert list(TokenFile(path).read()) == [made]
    content = path.read_text()
    assert text not in content
    assert text.rpartition("-")[2] not in content
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert sorted(one.name for one in path.parent.iterdir()) == [".tokens.json.lock", "tokens.json"]


def test_a_running_reader_sees_changes_and_reads_nothing_without(tmp_path: Path) -> None:
    reader, writer = TokenFile(tmp_path / "t"), TokenFile(tmp_path / "t")
    made, text = token("one")
    assert reader.read().find(text, 2.0) is None
    writer.add(made)
    found = reader.read()
    assert found.find(text, 2.0) == made
    assert reader.read() is found
    writer.remove("one")
    assert reader.read().find(text, 2.0) is None
    writer.add(made)
    (tmp_path / "t").unlink()
    assert reader.read().find(text, 2.0) is None, "a file that is removed revokes all"


def test_a_name_is_given_once_and_revoked_by_its_name(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "t")
    file.add(token("one")[0])
    with pytest.raises(NameTaken, match="there is a token one already"):
        file.add(token("one")[0])
    with pytest.raises(UnknownToken, match="there is no token 'two'; there are: one"):
        file.remove("two")
    assert [one.name for one in file.read()] == ["one"]


def test_writers_do_not_lose_each_others_tokens(tmp_path: Path) -> None:
    names = [f"token-{number}" for number in range(16)]
    start = threading.Barrier(len(names))

    def add(name: str) -> None:
        start.wait()
        TokenFile(tmp_path / "t").add(token(name)[0])

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in TokenFile(tmp_path / "t").read()) == sorted(names)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 1}',
        b'{"version": 2, "tokens": []}',
        json.dumps({"version": 1, "tokens": [{"name": "x"}]}).encode(),
        json.dumps(
            {
                "version": 1,
                "tokens": [
                    {"name": "x", "id": "i", "sha256": "d", "scopes": ["all"], "created": 1}
                ],
            }
        ).encode(),
    ],
)
def test_a_file_that_makes_no_sense_is_named_and_changed_by_nobody(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        TokenFile(path).read()
    with pytest.raises(ConfigError):
        TokenFile(path).add(token("one")[0])
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"file/tokens\.json"):
        TokenFile(tmp_path / "file" / "tokens.json").add(token("one")[0])
