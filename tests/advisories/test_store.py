"""Advisories on disk: read whole or not at all, and again when they change."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest

from proxy.advisories import store
from proxy.advisories.store import Places, fingerprint, load
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


def zipped(path: Path, **records: dict[str, object]) -> Places:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, record in records.items():
            archive.writestr(f"{name}.json", json.dumps(record))
    return Places(path=path)


def test_a_record_beside_the_zip_replaces_the_older_one_in_it(tmp_path: Path) -> None:
    zipped(tmp_path / "PyPI" / "all.zip", a=osv(), b=osv(id="PYSEC-2026-2"))
    later = osv(modified="2026-03-01T00:00:00Z", withdrawn="2026-03-01T00:00:00Z")
    write(tmp_path / "PyPI", a=later)
    found = load(Places(path=tmp_path), NOW)["PyPI"]
    assert [one.id for one in found.of("sample")] == ["PYSEC-2026-2"]


def test_what_was_loaded_is_handed_over_with_its_digest(tmp_path: Path) -> None:
    found = load(write(tmp_path, one=osv({"introduced": "0"})), NOW)
    other = pickle.loads(pickle.dumps(found))
    assert other == found
    assert other["PyPI"].__dict__["digest"] == found["PyPI"].digest


def test_folders_are_read_through_links_and_each_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", one=osv())
    folder = tmp_path / "osv"
    folder.mkdir()
    (folder / "PyPI").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    assert len(load(Places(path=folder), NOW)["PyPI"].of("sample")) == 1
    assert len(fingerprint(Places(path=folder))) == 1


def test_what_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    places = write(tmp_path / "osv", one=osv())
    link = tmp_path / "osv" / "two.json"
    link.symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"two\.json.*No such file"):
        load(places, NOW)
    link.unlink()
    os.mkfifo(link)
    for action in (fingerprint, lambda it: load(it, NOW)):
        with pytest.raises(ConfigError, match=r"two\.json.*no regular file"):
            action(places)
    with pytest.raises(ConfigError, match="No such file"):
        fingerprint(Places(path=tmp_path / "nothing"))


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


def test_a_zip_without_records_is_not_taken_for_knowing_of_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"all\.zip.*no advisories"):
        load(zipped(tmp_path / "all.zip"), NOW)


def test_a_damaged_zip_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    records = {
        f"r{at}": osv({"introduced": "0"}, id=f"A-{at}", details="x" * at) for at in range(20)
    }
    places = zipped(tmp_path / "all.zip", **records)
    whole = places.path.read_bytes()
    listing = whole.index(b"PK\x01\x02")
    chance = random.Random(7)
    refused = []
    for _ in range(300):
        body = bytearray(whole)
        body[chance.randrange(listing)] ^= 1 << chance.randrange(8)
        places.path.write_bytes(body)
        try:
            found = load(places, NOW)["PyPI"].of("sample")
        except ConfigError as error:
            refused.append(str(error))
        else:
            assert len(found) == len(records)
    assert len(refused) > 200
    assert all("all.zip" in one for one in refused)


def test_a_zip_packed_in_a_way_that_none_of_osv_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.json", json.dumps(osv()))
    with pytest.raises(ConfigError, match=r"a\.json is neither"):
        load(Places(path=path), NOW)


def test_a_zip_that_lies_about_the_size_of_a_record_is_refused(tmp_path: Path) -> None:
    places = zipped(tmp_path / "all.zip", a=osv(details=" " * 20_000))
    body = bytearray(places.path.read_bytes())
    struct.pack_into("<I", body, body.index(b"PK\x01\x02") + 24, 5)
    places.path.write_bytes(body)
    with pytest.raises(ConfigError, match=r"all\.zip"):
        load(places, NOW)


def test_a_record_too_large_to_be_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (store.LARGEST + 1))
    with pytest.raises(ConfigError, match="larger"):
        load(Places(path=path), NOW)


def test_a_record_too_large_to_be_one_is_refused_in_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" " * (store.LARGEST + 1))
    with pytest.raises(ConfigError, match=r"a\.json.*larger"):
        load(Places(path=tmp_path), NOW)


def test_more_than_all_advisories_together_can_be_is_refused(tmp_path: Path) -> None:
    """A zip of a few megabytes can unpack to terabytes: what was unpacked is counted."""
    records = {f"r{at}": osv(id=f"A-{at}") for at in range(20)}
    places = zipped(tmp_path / "all.zip", **records)
    assert len(list(store.bodies(places.path, most=10_000))) == 20
    with pytest.raises(ConfigError, match="more than 1000 bytes"):
        list(store.bodies(places.path, most=1000))


def test_nothing_where_advisories_should_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no advisories"):
        fingerprint(Places(path=tmp_path))


def test_a_change_is_seen(tmp_path: Path) -> None:
    places = write(tmp_path, one=osv())
    before = fingerprint(places)
    assert fingerprint(places) == before
    write(tmp_path, one=osv(id="PYSEC-2026-22"))
    os.utime(tmp_path / "one.json", (1, 1))
    after = fingerprint(places)
    assert after != before
    write(tmp_path, two=osv(id="PYSEC-2026-3"))
    assert fingerprint(places) != after
    (tmp_path / "two.json").unlink()
    assert fingerprint(places) == after


def test_a_file_that_was_replaced_is_seen_whatever_its_time(tmp_path: Path) -> None:
    places = write(tmp_path, one=osv())
    path = tmp_path / "one.json"
    os.utime(path, (1, 1))
    before = fingerprint(places)
    (tmp_path / "aside").write_bytes(path.read_bytes())
    os.utime(tmp_path / "aside", (1, 1))
    (tmp_path / "aside").rename(path)
    assert fingerprint(places) != before


def test_names_of_conda_packages_are_read(tmp_path: Path) -> None:
    write(tmp_path / "osv", one=osv())
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"pysample": "Sample", "gcc": None}))
    places = Places(path=tmp_path / "osv", conda_names=names)
    assert load(places, NOW)["PyPI"].conda_names == {"pysample": "sample"}
