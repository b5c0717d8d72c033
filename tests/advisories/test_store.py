"""Advisories on disk: read whole or not at all, and again when they change."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from proxy.advisories import store
from proxy.advisories.store import Places, fingerprint, load
from proxy.core.advisories import Status
from proxy.errors import ConfigError
from tests.core.test_advisories import osv

NOW = 1_800_000_000.0


def write(folder: Path, **records: dict[str, object]) -> Places:
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record))
    return Places(path=folder)


def test_a_folder_of_records_is_read(tmp_path: Path) -> None:
    places = write(tmp_path / "osv" / "PyPI", one=osv({"introduced": "0"}))
    found = load(Places(path=tmp_path / "osv"), NOW)
    assert [one.id for one in found["PyPI"].of("sample")] == ["PYSEC-2026-1"]
    assert load(places, NOW) == found


def test_the_public_dump_is_read_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "PyPI"
    folder.mkdir()
    (folder / "modified_id.csv").write_text("2026-01-01T00:00:00Z,PYSEC-2026-1\n")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2026-1.json", json.dumps(osv({"introduced": "0"})))
    for path in (tmp_path, folder, folder / "all.zip"):
        assert load(Places(path=path), NOW)["PyPI"].of("sample")


@pytest.mark.parametrize("content", [b"{", b'{"id": 1}', b""])
def test_a_set_with_a_bad_record_is_not_used_and_the_record_is_named(
    tmp_path: Path, content: bytes
) -> None:
    places = write(tmp_path, good=osv())
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.json"):
        load(places, NOW)


def test_half_a_zip_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", json.dumps(osv()))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigError, match=r"all\.zip"):
        load(Places(path=path), NOW)


def test_a_record_too_large_to_be_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (store.LARGEST + 1))
    with pytest.raises(ConfigError, match="larger"):
        load(Places(path=path), NOW)


def test_nothing_where_advisories_should_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no advisories"):
        fingerprint(Places(path=tmp_path))


def test_a_change_is_seen(tmp_path: Path) -> None:
    places = write(tmp_path, one=osv())
    before = fingerprint(places)
    assert fingerprint(places) == before
    write(tmp_path, one=osv(id="PYSEC-2026-22"))
    os.utime(tmp_path / "one.json", (1, 1))
    assert fingerprint(places) != before


OVERLAY = """
[[advisory]]
id = "CVE-2026-1"
status = "mitigated"
packages = ["Sample"]
until = 2027-06-01
"""


def test_the_operators_word_counts_for_an_id_or_an_alias_while_it_lasts(tmp_path: Path) -> None:
    write(tmp_path / "osv", one=osv(aliases=["CVE-2026-1"]))
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(OVERLAY)
    places = Places(path=tmp_path / "osv", overlay=overlay)
    assert load(places, NOW)["PyPI"].of("sample")[0].status is Status.MITIGATED
    assert load(places, 1.9e9)["PyPI"].of("sample")[0].status is Status.ACTIVE
    overlay.write_text(OVERLAY.replace("Sample", "other"))
    assert load(places, NOW)["PyPI"].of("sample")[0].status is Status.ACTIVE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[advisory]\nid = 1", "tables"),
        ('[[advisory]]\nid = "X"', "status"),
        ('[[advisory]]\nid = "X"\nstatus = "fine"', "mitigated"),
        ('[[advisory]]\nstatus = "active"', "id"),
        ('[[advisory]]\nid = "MAL-1"\nstatus = "cleared"', "malicious"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\nuntil = "soon"', "date"),
        ('[[advisory]]\nid = "X"\nstate = "active"', "known are"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_bad_overlay_says_what_and_where(tmp_path: Path, text: str, word: str) -> None:
    write(tmp_path / "osv", one=osv())
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(text)
    with pytest.raises(ConfigError, match=word) as error:
        load(Places(path=tmp_path / "osv", overlay=overlay), NOW)
    assert "overlay.toml" in str(error.value)


def test_names_of_conda_packages_are_read(tmp_path: Path) -> None:
    write(tmp_path / "osv", one=osv())
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"pysample": "Sample", "gcc": None}))
    places = Places(path=tmp_path / "osv", conda_names=names)
    assert load(places, NOW)["PyPI"].conda_names == {"pysample": "sample"}
