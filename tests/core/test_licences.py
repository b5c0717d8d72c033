"""Licences as indexes write them, understood, and judged by what their user may do."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.licence_names import DEPRECATED, NAMES, exceptions, identifier, identifiers
from proxy.core.licences import FAMILIES, Licence, LicenceSet, cran, family, read, spdx
from proxy.core.licences_in_r import R_UNVERSIONED, R_VERSIONED


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
        (
            "GPL-2.0-or-later AND LGPL-2.1-or-later",
            [{"GPL-2.0-or-later", "LGPL-2.1-or-later"}],
        ),
        ("GPL-2.0-or-later OR MIT", [{"GPL-2.0-or-later"}, {"MIT"}]),
        ("GPL v2 or later or MIT", [{"GPL-2.0-or-later"}, {"MIT"}]),
        ("GPL-3-or-later", [{"GPL-3.0-or-later"}]),
        (
            "GPL-2.0-with-classpath-exception",
            [{"GPL-2.0-only WITH Classpath-exception-2.0"}],
        ),
        ("GPLv2 with exceptions", [{"GPL-2.0-only WITH LicenseRef-exception"}]),
        ("wxWidgets", [{"LGPL-2.0-or-later WITH WxWindows-exception-3.1"}]),
        ("MIT, BSD", [{"MIT", "LicenseRef-BSD"}]),
        ("MIT/X11", [{"MIT"}]),
        ("The MIT License (MIT)", [{"MIT"}]),
        ("apache-2.0 license", [{"Apache-2.0"}]),
        ("Apache-2.0+", [{"Apache-2.0"}]),
        ("LGPL (>= 2.0, < 3)", [{"LGPL-2.0-only"}, {"LGPL-2.1-only"}]),
        ("GPL-3 + file LICENSE", [{"GPL-3.0-only", "LicenseRef-file"}]),
        ("zlib (http://zlib.net/zlib_license.html)", [{"Zlib"}]),
        ("NVIDIA End User License Agreement", [{"LicenseRef-proprietary"}]),
        ("Creative Commons Attribution 4.0 International License", [{"CC-BY-4.0"}]),
        ("PSF 2", [{"PSF-2.0"}]),
        ("BSL", []),
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
        ("LicenseRef-a OR LicenseRef-b", [{"LicenseRef-a"}, {"LicenseRef-b"}]),
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
    "raw",
    [
        "LicenseRef-foo AND GPL-3.0-only",
        "MIT WITH x AND GPL-3.0-only",
        "Apache-2.0 WITH LLVM-exception AND GPL-3.0-only",
        "MIT) AND GPL-3.0-only",
        "(MIT AND GPL-3.0-only",
        "MIT (and GPL-3.0-only)",
        "MIT (GPL-3)",
        "MIT (GPL-3) AND BSD",
        "MIT (see GPL-3)",
        "MIT (http://www.example.org/gpl.html)",
        "Proprietary AND GPL-3.0-only",
        "proprietary with parts under the GPL-3",
        "see LICENSE and GPL-3",
        "MIT + GPL-3",
        "MIT/GPL-3",
        "MIT GPL-3",
    ],
)
def test_no_part_of_a_text_is_passed_over(raw: str) -> None:
    no_copyleft = LicenceSet(families=("GPL",))
    for licence in (read(raw), spdx(raw), cran(raw)):
        assert no_copyleft.truth(licence, may=False) is not False
        assert LicenceSet(families=("MIT", "OTHER", "APACHE")).truth(licence, may=True) is not True


@pytest.mark.parametrize(
    ("raw", "alternatives"),
    [
        ("GPL (>= 2)", [{"GPL-2.0-or-later"}]),
        ("GPL (> 2)", [{"GPL-3.0-or-later"}]),
        ("GPL (<= 2)", [{"GPL-1.0-only"}, {"GPL-2.0-only"}]),
        ("GPL (>= 2, != 3)", [{"GPL-2.0-only"}]),
        ("GPL (== 3)", [{"GPL-3.0-only"}]),
        ("GPL (>= 4)", []),
        ("GPL (two)", []),
        ("GPL-2 | GPL-3", [{"GPL-2.0-only"}, {"GPL-3.0-only"}]),
        ("GPL-2|MIT + file LICENCE", [{"GPL-2.0-only"}, {"MIT"}]),
        ("GPL", [{"GPL-1.0-or-later"}]),
        ("AGPL", [{"AGPL-3.0-or-later"}]),
        ("GNU General Public License version 2", [{"GPL-2.0-only"}]),
        ("GNU Lesser General Public License (>= 2.1)", [{"LGPL-2.1-or-later"}]),
        ("Apache License", [{"Apache-1.0"}, {"Apache-1.1"}, {"Apache-2.0"}]),
        ("Apache License (== 2.0)", [{"Apache-2.0"}]),
        ("Apache License (>= 2)", [{"Apache-2.0"}]),
        ("Artistic-2.0", [{"Artistic-2.0"}]),
        ("Mozilla Public License 1.1", [{"MPL-1.1"}]),
        ("CeCILL-2", [{"CECILL-2.0"}]),
        ("CC BY 4.0", [{"CC-BY-4.0"}]),
        ("CC BY-NC-ND 3.0 US", [{"CC-BY-NC-ND-3.0"}]),
        ("CC BY-SA 4.0 + file LICENSE", [{"CC-BY-SA-4.0", "LicenseRef-file"}]),
        ("BSD", [{"BSD-3-Clause"}]),
        ("BSD_2_clause + file LICENSE", [{"BSD-2-Clause"}]),
        ("AGPL-3 + file LICENSE", [{"AGPL-3.0-only", "LicenseRef-file"}]),
        ("BSL", [{"BSL-1.0"}]),
        ("ACM | file LICENSE", [{"LicenseRef-acm"}, {"LicenseRef-file"}]),
        ("file LICENSE", [{"LicenseRef-file"}]),
        ("Unlimited", [{"LicenseRef-unlimited"}]),
        ("GNU GPL v3 or later", [{"GPL-3.0-or-later"}]),
        ("never heard of | MIT + file LICENSE", [{"MIT"}]),
        ("never heard of", []),
        ("NA", []),
    ],
)
def test_rs_notation_is_understood_as_r_does(raw: str, alternatives: list[set[str]]) -> None:
    assert [set(choice) for choice in cran(raw).alternatives] == alternatives


@pytest.mark.parametrize(
    "raw", ["GPL (>= 2)", "MIT, BSD", "BSD 3-Clause", "MIT OR huh", "MIT OR", "MIT | ISC"]
)
def test_what_is_no_spdx_expression_is_not_taken_for_one(raw: str) -> None:
    assert spdx(raw).alternatives == ()
    assert spdx(raw).raw == raw


def test_tables_name_current_identifiers_only() -> None:
    current = {*identifiers().values()}
    licences = {*NAMES.values(), *DEPRECATED.values(), *R_UNVERSIONED.values()}
    for stem in {stem for versions in R_VERSIONED.values() for stem in versions.values()}:
        licences |= {f"{stem}-only", f"{stem}-or-later"} if "GPL-" in stem else {stem}
    for licence in licences:
        base, _, exception = licence.partition(" WITH ")
        assert base in current or base.startswith("LicenseRef-"), licence
        assert not exception or exception in exceptions().values(), licence


def test_every_identifier_is_read_as_itself() -> None:
    for current in {*identifiers().values()}:
        assert identifier(current.lower()) == current
        assert read(current).alternatives == (frozenset({current}),)


@pytest.mark.parametrize(
    ("licence", "expected"),
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
        ("LicenseRef-none", "OTHER"),  # something is said
        ("Zlib", "OTHER"),
    ],
)
def test_every_identifier_has_a_family(licence: str, expected: str) -> None:
    assert family(licence) == expected
    assert expected in FAMILIES


def test_condas_own_family_counts_where_the_text_says_nothing() -> None:
    assert read("Unknown", "GPL3").families == {"GPL3"}
    assert not read("GPL-3.0-only AND never heard of", "BSD").recognised
    assert read(None, "BSD").families == {"BSD"}
    assert read("MIT", "GPL3").families == {"MIT"}
    assert read(None).families == {"NONE"}
    assert not read("never heard of", "None").recognised
    assert read("NOASSERTION").families == {"NONE"}


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
    ("listed", "raw", "has"),
    [
        ("GPL-3.0*", "GPL-3.0-or-later", True),
        ("GPL-3.0", "GPL-3.0-only", True),  # deprecated: means the current one
        ("GPL-3.0", "GPL-3.0-or-later", False),
        ("gpl-2.0+", "GPL (>= 2)", True),
        ("GPL-3.0-only", "GPL-3.0-only WITH GCC-exception-3.1", True),  # may do more, not less
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-with-GCC-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-only", False),
        ("GPL-3.0* WITH GCC-exception-*", "GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("GPL-3.0* WITH GCC-exception-*", "GPL-3.0-or-later", False),
        ("LicenseRef-nvidia*", "LicenseRef-NVIDIA-End-User-License-Agreement", True),
    ],
)
def test_a_rule_lists_identifiers_and_patterns_of_them(listed: str, raw: str, has: bool) -> None:
    assert LicenceSet(ids=(listed,)).truth(read(raw), may=True) is has


def test_the_family_gpl_is_its_versions_and_neither_lgpl_nor_agpl() -> None:
    gpl = LicenceSet(families=("GPL",))
    for raw in ("GPL", "GPL-1.0-only", "GPL-2.0-or-later", "GPL-3.0-only"):
        assert gpl.truth(read(raw), may=False) is True
    for raw in ("LGPL-2.1-only", "AGPL-3.0-only", "LGPL", "AGPL"):
        assert gpl.truth(read(raw), may=True) is False
    assert LicenceSet(families=("GPL2",)).truth(read("GPL-3.0-only"), may=True) is False


@pytest.mark.parametrize(
    ("ids", "families", "word"),
    [
        (("MITT",), (), "did you mean MIT"),
        (("XYZ-*",), (), "SPDX"),
        (("GPL-3.0-only WITH nonsense",), (), "SPDX"),
        (("GPL-3.0* WITH nonsense*",), (), "SPDX"),
        ((), ("COPYLEFT",), "AGPL"),
    ],
)
def test_what_is_no_licence_is_told(
    ids: tuple[str, ...], families: tuple[str, ...], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        LicenceSet(ids, families)


_NOTATION = r"(?:GPL|MIT|BSD|-|or|and|with|file LICENSE|[ ()|+<>=!&,.;23]){0,40}"


@given(st.text(max_size=40) | st.from_regex(_NOTATION, fullmatch=True))
def test_any_text_is_read_without_a_crash(raw: str) -> None:
    for licence in (read(raw), spdx(raw), cran(raw)):
        assert licence.families <= set(FAMILIES)
        assert all(choice for choice in licence.alternatives)


@pytest.mark.parametrize(
    "raw",
    [
        "(" * 5000,
        "(" * 400 + "MIT" + ")" * 400,
        "MIT AND " * 20_000 + "MIT",
        "gpl-" + "9" * 5000,
        " AND ".join(f"(LicenseRef-{n} OR LicenseRef-{n}x)" for n in range(20)),
        "a with " * 100,
    ],
)
def test_what_nobody_would_write_is_not_understood_at_once(raw: str) -> None:
    for licence in (read(raw), spdx(raw), cran(raw)):
        assert licence.alternatives == ()


_SOME = (*("MIT", "Zlib", "GPL-2.0-or-later", "GPL-3.0-only", "LGPL-2.1-or-later"), "LicenseRef-x")
_WITH = "GPL-3.0-or-later WITH GCC-exception-3.1"
_Tree = str | tuple[str, "_Tree", "_Tree"]
_TREES: st.SearchStrategy[_Tree] = st.recursive(
    st.sampled_from((*_SOME, _WITH)),
    lambda inner: st.tuples(st.sampled_from(("AND", "OR")), inner, inner),
    max_leaves=6,
)


def _written(tree: _Tree, words: dict[str, str]) -> str:
    if isinstance(tree, str):
        return tree
    one, other = _written(tree[1], words), _written(tree[2], words)
    return f"({one}) {words[tree[0]]} ({other})"


def _satisfied(tree: _Tree, held: frozenset[str]) -> bool:
    if isinstance(tree, str):
        return tree in held
    return (all if tree[0] == "AND" else any)(_satisfied(one, held) for one in tree[1:])


@given(_TREES, st.frozensets(st.sampled_from((*_SOME, _WITH))))
def test_expressions_mean_what_their_operators_say(tree: _Tree, held: frozenset[str]) -> None:
    ways: list[Licence] = [
        spdx(_written(tree, {"AND": "AND", "OR": "OR"})),
        read(_written(tree, {"AND": "and", "OR": "or"})),
        read(_written(tree, {"AND": ",", "OR": "|"})),  # not SPDX: by our own reader
    ]
    rest = frozenset((*_SOME, _WITH)) - held
    for licence in ways:
        assert licence.recognised
        listed = LicenceSet(sorted(held))
        # A listed licence is meant with its exceptions, too: none of these is without one.
        assert listed.truth(licence, may=True) == _satisfied(tree, held)
        assert listed.truth(licence, may=False) == (not _satisfied(tree, rest))


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
