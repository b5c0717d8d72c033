"""What is damaged or gone is not taken over."""

from __future__ import annotations

from pathlib import Path

from proxy.core.digest import Digest, digest_of
from proxy.gateway.earlier import Earlier


def test_only_what_is_there_and_undamaged_is_found(tmp_path: Path) -> None:
    contents = {"rows": b"rows", "pack": b"pack", "notes": b"notes"}
    views: dict[str, tuple[Path, Digest]] = {}
    for form, content in contents.items():
        path = tmp_path / form
        path.write_bytes(content)
        views[form] = path, Digest(digest_of(content))
    (tmp_path / "pack").write_bytes(b"pac.")
    (tmp_path / "notes").unlink()
    opened: list[Path] = []

    def content_of(path: Path) -> bytes | None:
        opened.append(path)
        return path.read_bytes() if path.exists() else None

    earlier = Earlier(views, content_of)
    assert not opened
    assert earlier.get("pack") is None
    assert earlier.get("other") is None
    assert dict(earlier) == {"rows": b"rows"}
    assert len(earlier) == 1
    assert len(opened) == len(contents)
