"""Licences as indexes write them, understood, and judged by what their user may do."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.licences import FAMILIES, LicenceSet, family, read


@pytest.mark.parametrize(
    ("raw", "alternatives"),
    [
        ("MIT", [{"MIT"}]),
        ("mit", [{"MIT"}]),
        ("MIT OR GPL-3.0", [{"MIT"}, {"GPL-3.0-only"}]),
        ("MIT AND (Apache-2.0 OR GPL-2.0+)", [{"MIT", "Apache-2.0"}, {"MIT", "GPL-2.0-or-later"}]),
        ("GPL-3.0-only WITH GCC-exception-3.1", [{"GPL-3.0-only WITH GCC-exception-3.1"}]),
        ("GPL (>= 2)", [{"GPL-2.0-or-later"}]),
        ("GPL-2 | GPL-3", [{"GPL-2.0-only"}, {"GPL-3.0-only"}]),
        ("GPL (>= 2) | file LICENSE", [{"GPL-2.0-or-later"}, {"LicenseRef-file"}]),
        ("GPL (>= 2.0)", [{"GPL-2.0-or-later"}]),
        ("MIT + file LICENSE", [{"MIT"}]),
        ("MIT + file LICENSE | Unlimited", [{"MIT"}, {"LicenseRef-unlimited"}]),
        ("BSD_3_clause + file LICENCE", [{"BSD-3-Clause"}]),
        ("BSD 3-Clause", [{"BSD-3-Clause"}]),
        ("BSD-3", [{"BSD-3-Clause"}]),
        ("3-clause BSD", [{"BSD-3-Clause"}]),
        ("BSD", [{"LicenseRef-BSD"}]),
        ("Apache License (== 2.0)", [{"Apache-2.0"}]),
        ("Apache License 2.0", [{"Apache-2.0"}]),
        ("ASL 2.0", [{"Apache-2.0"}]),
        ("LGPL (>= 2.1)", [{"LGPL-2.1-or-later"}]),
        ("LGPLv2 or MPLv1.1", [{"LGPL-2.0-only"}, {"MPL-1.1"}]),
        ("LGPLv2+ and BSD", [{"LGPL-2.0-or-later", "LicenseRef-BSD"}]),
        ("GNU General Public License v2 or later (GPLv2+)", [{"GPL-2.0-or-later"}]),
        ("GPL version 2", [{"GPL-2.0-only"}]),
        ("GPL", [{"GPL-1.0-or-later"}]),
        ("AGPL-3", [{"AGPL-3.0-only"}]),
        ("Commercial or AGPLv3", [{"LicenseRef-proprietary"}, {"AGPL-3.0-only"}]),
        ("PSF-based", [{"PSF-2.0"}]),
        ("Public-Domain", [{"LicenseRef-public-domain"}]),
        ("CC BY-SA 4.0", [{"CC-BY-SA-4.0"}]),
        ("LicenseRef-NVIDIA", [{"LicenseRef-nvidia"}]),
        ("file LICENSE (FOSS)", [{"LicenseRef-file"}]),
        ("MIT OR never-heard-of", [{"MIT"}]),
        ("MIT AND never-heard-of", []),
        ("never heard of", []),
        ("", []),
        ("None", []),
    ],
)
def test_what_indexes_write_is_understood(raw: str, alternatives: list[set[str]]) -> None:
    assert [set(choice) for choice in read(raw).alternatives] == alternatives


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("GPL-2.0-or-later", "GPL2"),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL3"),
        ("GPL-1.0-or-later", "GPL"),
        ("LGPL-2.1-only", "LGPL"),
        ("AGPL-3.0-only", "AGPL"),
        ("BSD-2-Clause", "BSD"),
        ("LicenseRef-BSD", "BSD"),
        ("CC-BY-4.0", "CC"),
        ("MPL-2.0", "MOZILLA"),
        ("Python-2.0", "PSF"),
        ("Unlicense", "PUBLIC-DOMAIN"),
        ("Zlib", "OTHER"),
    ],
)
def test_every_identifier_has_a_family(identifier: str, expected: str) -> None:
    assert family(identifier) == expected
    assert expected in FAMILIES


def test_condas_own_family_counts_where_the_text_says_nothing() -> None:
    assert read("never heard of", "GPL3").families == {"GPL3"}
    assert read(None, "BSD").families == {"BSD"}
    assert read("MIT", "GPL3").families == {"MIT"}
    assert read(None).families == {"NONE"}


@pytest.mark.parametrize(
    ("raw", "may", "must"),
    [
        ("GPL-3.0-only", True, True),
        ("GPL (>= 2)", True, True),
        ("MIT", False, False),
        ("MIT OR GPL-3.0-only", True, False),
        ("MIT AND GPL-3.0-only", False, True),
        ("GPL-2 | GPL-3", True, True),
        ("LGPL-3.0-only", False, False),
        ("never heard of", None, None),
        (None, None, None),
    ],
)
def test_a_choice_is_the_users(raw: str | None, may: bool | None, must: bool | None) -> None:
    for listed in (LicenceSet(families=("gpl",)), LicenceSet(ids=("GPL-*",))):
        assert listed.truth(read(raw), may=True) is may
        assert listed.truth(read(raw), may=False) is must


def test_files_without_a_licence_can_be_meant() -> None:
    assert LicenceSet(families=("None", "MIT")).truth(read(None), may=False) is True


@pytest.mark.parametrize(
    ("ids", "families", "word"),
    [
        (("MITT",), (), "did you mean MIT"),
        (("XYZ-*",), (), "SPDX"),
        ((), ("COPYLEFT",), "AGPL"),
    ],
)
def test_what_is_no_licence_is_told(
    ids: tuple[str, ...], families: tuple[str, ...], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        LicenceSet(ids, families)


@given(st.text(max_size=40) | st.from_regex(r"[GPLMIT ()|+>=&,. 23]{0,40}", fullmatch=True))
def test_any_text_is_read_without_a_crash(raw: str) -> None:
    licence = read(raw, None)
    assert licence.families <= set(FAMILIES)
    assert all(choice for choice in licence.alternatives)


def test_nearly_every_record_of_real_channels_is_understood() -> None:
    folder = Path(
        os.environ.get("PKGPROXY_TEST_DATA", Path(__file__).parents[2] / "../shared/data")
    )
    if not folder.is_dir():
        pytest.skip("no real channels here: set PKGPROXY_TEST_DATA to a folder of them")
    seen: Counter[bool] = Counter()
    odd: Counter[str] = Counter()
    for path in (folder / "repodata").glob("*.json"):
        index = json.loads(path.read_text())
        for one in (*index.get("packages", {}).values(), *index.get("packages.conda", {}).values()):
            if one.get("license") in (None, "", "None"):
                continue
            licence = read(one["license"], one.get("license_family"))
            seen[licence.recognised] += 1
            if not licence.recognised:
                odd[one["license"]] += 1
    assert seen[True] > 0.99 * seen.total(), odd.most_common(20)
