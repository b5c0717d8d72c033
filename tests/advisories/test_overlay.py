"""What the operator says of advisories counts where and while it is meant to."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.advisories.overlay import read_overlay
from proxy.advisories.store import Places, load, unheard
from proxy.core.advisories import Status
from proxy.errors import ConfigError
from tests.advisories.test_store import NOW, write
from tests.core.test_advisories import osv

REMARK = """
[[advisory]]
id = "CVE-2026-1"
status = "mitigated"
packages = ["Sample"]
until = 2027-06-01
"""
END = 1_811_808_000.0
"""2027-06-01 at midnight, UTC."""


def status(tmp_path: Path, text: str, *, now: float = NOW, **changes: object) -> Status:
    """That of the one advisory, which is CVE-2026-1 too, with *text* as overlay."""
    record = osv({"introduced": "0"}, aliases=["CVE-2026-1"]) | changes
    write(tmp_path / "osv", one=record)
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(text)
    found = load(Places(path=tmp_path / "osv", overlay=overlay), now)
    ((one,),) = [some for known in found.values() for some in known.by_name.values()]
    return one.status


def test_a_remark_counts_for_an_id_or_an_alias(tmp_path: Path) -> None:
    assert status(tmp_path, REMARK) is Status.MITIGATED
    assert status(tmp_path, REMARK, id="CVE-2026-1", aliases=[]) is Status.MITIGATED
    assert status(tmp_path, REMARK, aliases=["CVE-2026-11"]) is Status.ACTIVE


def test_a_remark_counts_until_its_day(tmp_path: Path) -> None:
    assert status(tmp_path, REMARK, now=END - 1) is Status.MITIGATED
    assert status(tmp_path, REMARK, now=END) is Status.ACTIVE


def test_a_remark_counts_for_its_packages_alone(tmp_path: Path) -> None:
    assert status(tmp_path, REMARK.replace("Sample", "other")) is Status.ACTIVE
    assert status(tmp_path, REMARK.replace('packages = ["Sample"]', "")) is Status.MITIGATED


@pytest.mark.parametrize(("name", "found"), [("Sample", True), ("sample", False)])
def test_packages_are_named_as_their_ecosystem_compares_them(
    tmp_path: Path, name: str, found: bool
) -> None:
    affected = [{"package": {"ecosystem": "CRAN", "name": "Sample"}}]
    text = REMARK.replace("Sample", name)
    assert (status(tmp_path, text, affected=affected) is Status.MITIGATED) == found


def test_the_first_remark_about_an_advisory_holds(tmp_path: Path) -> None:
    assert status(tmp_path, REMARK + REMARK.replace("mitigated", "cleared")) is Status.MITIGATED


def test_what_is_malicious_stays_so_under_any_name(tmp_path: Path) -> None:
    assert status(tmp_path, REMARK, id="MAL-2026-1") is Status.ACTIVE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[advisory]\nid = 1", "tables"),
        ("advisory = [1]", r"advisory 1: write a table"),
        ('[[advisory]]\nid = "X"', "status"),
        ('[[advisory]]\nid = "X"\nstatus = "fine"', "mitigated"),
        ('[[advisory]]\nstatus = "active"', "id"),
        ('[[advisory]]\nid = "MAL-1"\nstatus = "cleared"', "malicious"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\nuntil = "soon"', "date"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\nuntil = 12:00:00', "date"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\nreason = 5', "reason"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\npackages = []', "packages"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\npackages = [1]', "packages"),
        ('[[advisory]]\nid = "X"\nstatus = "active"\npackages = "a"', "packages"),
        ('[[advisory]]\nid = "X"\nstate = "active"', "advisory 1, state: known are"),
        (REMARK + '[[advisory]]\nid = "X"', r"overlay\.toml:7: advisory 2, status"),
        ("nonsense", "is not TOML"),
    ],
)
def test_a_bad_overlay_says_what_and_where(tmp_path: Path, text: str, word: str) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(text)
    with pytest.raises(ConfigError, match=word) as error:
        read_overlay(overlay, NOW)
    assert "overlay.toml" in str(error.value)


def test_an_overlay_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overlay\.toml.*No such file"):
        read_overlay(tmp_path / "overlay.toml", NOW)


@pytest.mark.parametrize(
    ("text", "now", "words"),
    [
        (REMARK, NOW, None),
        (REMARK, END, "advisory 1: ended on 2027-06-01: it no longer counts"),
        (REMARK.replace("2026-1", "2026-2"), NOW, "called CVE-2026-2; did you mean CVE-2026-1?"),
        (
            REMARK.replace("Sample", "smaple"),
            NOW,
            "CVE-2026-1 is not about smaple; it is about sam",
        ),
    ],
)
def test_a_remark_that_does_not_count_is_told(
    tmp_path: Path, text: str, now: float, words: str | None
) -> None:
    write(tmp_path / "osv", one=osv({"introduced": "0"}, aliases=["CVE-2026-1"]))
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(text)
    told = list(unheard(Places(path=tmp_path / "osv", overlay=overlay), now))
    if words is None:
        assert not told
        return
    (line,) = told
    assert line.startswith(f"{overlay}:2: advisory 1: ")
    assert words in line


_SOME = 'packages = ["Sample"]'
_OTHERS = 'packages = ["Sample", "other"]'
_ALL = ""


@pytest.mark.parametrize(
    ("first", "later", "words"),
    [
        ({}, {}, "sample: {first}"),
        ({}, {"mitigated": "cleared"}, "sample: {first}"),
        ({_SOME: _ALL}, {}, "sample: {first}"),
        ({_SOME: _OTHERS}, {}, "sample: {first}"),
        ({_SOME: _ALL}, {_SOME: _ALL}, "other, sample: {first}"),
        ({}, {"CVE-2026-1": "OSV-1"}, "sample: {first}"),  # another name of it
        ({}, {_SOME: _OTHERS}, "sample: {first}"),  # it counts for the other one
        ({}, {"until = 2027-06-01": ""}, "sample until 2027-06-01: {first}"),
        ({}, {"2027-06-01": "2027-06-02"}, "sample until 2027-06-01: {first}"),
        ({}, {_SOME: _ALL}, None),  # it counts for all others
        ({}, {"Sample": "other"}, None),
        ({"2027-06-01": "2026-01-01"}, {}, None),  # it is over
    ],
)
def test_a_remark_behind_another_about_the_same_is_told(
    tmp_path: Path, first: dict[str, str], later: dict[str, str], words: str | None
) -> None:
    packages = [{"package": {"ecosystem": "PyPI", "name": one}} for one in ("sample", "other")]
    record = osv({"introduced": "0"}, id="OSV-1", aliases=["CVE-2026-1"], affected=packages)
    write(tmp_path / "osv", one=record)
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(_changed(first) + _changed(later))
    told = [
        one
        for one in unheard(Places(path=tmp_path / "osv", overlay=overlay), NOW)
        if "no longer counts" not in one
    ]
    if words is None:
        assert not told
        return
    (line,) = told
    says = f"{overlay}:2: advisory 1 comes first, and says that CVE-2026-1 is mitigated"
    at = 2 + _changed(first).count("\n")
    assert line == f"{overlay}:{at}: advisory 2: does not count for {words.format(first=says)}"


def test_what_is_malicious_has_no_remarks_to_be_first(tmp_path: Path) -> None:
    write(tmp_path / "osv", one=osv({"introduced": "0"}, id="MAL-1", aliases=["CVE-2026-1"]))
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(REMARK + REMARK)
    assert not list(unheard(Places(path=tmp_path / "osv", overlay=overlay), NOW))


def _changed(changes: dict[str, str]) -> str:
    text = REMARK
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def test_a_table_of_names_that_is_none_is_told(tmp_path: Path) -> None:
    write(tmp_path / "osv", one=osv({"introduced": "0"}))
    names = tmp_path / "names.json"
    names.write_text("[1]")
    with pytest.raises(ConfigError, match=r"names\.json: write a table"):
        list(unheard(Places(path=tmp_path / "osv", conda_names=names), NOW))
