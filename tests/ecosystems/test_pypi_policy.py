"""A project's page under a policy: every view shows what the gate lets through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core import first_seen
from proxy.core.advisories import Advisories, Advisory, Range, Status
from proxy.core.policy import (
    MALICIOUS,
    All,
    Blocked,
    Builds,
    Condition,
    Effect,
    FixesVulnerability,
    Kinds,
    LargerThan,
    Licences,
    Names,
    NeedsCompilation,
    Not,
    Platforms,
    Policy,
    Specs,
    Statuses,
    Tags,
    Vulnerable,
    Yanked,
    YoungerThan,
)
from proxy.core.rows import Table, decode_row
from proxy.ecosystems.base import ROWS, WHOLE, Body, Context
from proxy.ecosystems.pypi.judging import identity
from tests.ecosystems.policies import DAY, MOMENT, allow, deny, random_policies, under, warn
from tests.ecosystems.pypi_pages import FILES, JSON, MIRROR, PAGE_URL, PYPI, page_index

CONTEXT = Context(mirror=MIRROR)


def file_of(filename: str, **more: Any) -> dict[str, Any]:
    url = f"{FILES}/x/{filename}"
    made = {"filename": filename, "url": url, "hashes": {"sha256": "5" * 64}, "size": 100}
    return made | {key.replace("_", "-"): value for key, value in more.items()}


def page_of(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"meta": {"api-version": "1.4"}, "name": "sample", "files": list(files)} | more


def body_of(page: Mapping[str, Any]) -> Body:
    return Body(content=json.dumps(page).encode(), source="", media_type=JSON, url=PAGE_URL)


class views:  # noqa: N801 - reads as a function: views(page, context).gate
    """All views of one page."""

    def __init__(self, page: Mapping[str, Any], context: Context, **body: Any) -> None:
        index = page_index()
        self.body = replace(body_of(page), **body)
        made = PYPI.render(index, self.body, context, frozenset({"json", "html", ROWS}))
        forms = {one.form: (b"".join(one.chunks), one.hidden) for one in made}
        self.json = json.loads(forms["json"][0])
        self.html = forms["html"][0].decode()
        self.counts = dict(forms[ROWS][1])
        rows = Table(forms[ROWS][0]).items()
        self.gate = {key: decode_row(value).denied for key, value in rows}

    @property
    def shown(self) -> set[str]:
        return {file["filename"] for file in self.json["files"]}


WHEEL = "sample-1.0-py3-none-any.whl"
LINUX = "sample-2.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
SDIST = "sample-2.0.tar.gz"
EGG = "sample-0.9-py2.7.egg"
PAGE = page_of(
    file_of(WHEEL, upload_time="2020-01-01T00:00:00Z"),
    file_of(LINUX, size=5000, upload_time="2023-11-14T00:00:00Z", yanked="broken"),
    file_of(SDIST, upload_time="2023-11-14T00:00:00Z"),
    file_of(EGG, size=None),
    versions=["0.9", "1.0", "2.0"],
)


@pytest.mark.parametrize(
    ("condition", "hidden"),
    [
        (Names(("sample",)), {WHEEL, LINUX, SDIST, EGG}),
        (Names(("Sam_*",)), set()),
        (Names(("S?mple",)), {WHEEL, LINUX, SDIST, EGG}),
        (Names(("other",)), set()),
        (Specs(("Sample<2",)), {WHEEL, EGG}),
        (Specs(("sample==2.*", "other")), {LINUX, SDIST, EGG}),
        (Specs(("sample",)), {WHEEL, LINUX, SDIST, EGG}),
        (Platforms(("manylinux*",)), {LINUX}),
        (Platforms(("any",)), {WHEEL}),
        (Tags(("cp312-*",)), {LINUX}),
        (Kinds(("sdist",)), {SDIST}),
        (Kinds(("wheel",)), {WHEEL, LINUX}),
        (Not(Kinds(("wheel", "sdist"))), {EGG}),
        (LargerThan(1000), {LINUX, EGG}),
        (Yanked(), {LINUX}),
        (Statuses(("active",)), {WHEEL, LINUX, SDIST, EGG}),
        (Statuses(("archived",)), set()),
        (YoungerThan(3 * DAY), {LINUX, SDIST, EGG}),
    ],
)
def test_a_condition_hides_what_it_says_and_what_it_cannot_know(
    condition: Condition, hidden: set[str]
) -> None:
    # The egg's version, size and date are not known: it is refused in doubt.
    made = views(PAGE, under(CONTEXT, deny(condition)))
    assert made.shown == {WHEEL, LINUX, SDIST, EGG} - hidden


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("sample-1.0.zip", "sdist"),
        ("sample-1.0.tar.bz2", "sdist"),
        ("sample-1.0.tgz", "sdist"),
        ("sample-1.0.TAR.XZ", "sdist"),
        ("sample-1.0.linux-x86_64.tar.gz", "sdist"),  # pip would build it
        ("sample-of-old.tar.gz", "sdist"),
        ("sample-1.0.win32-py2.7.exe", "other"),
        ("sample-1.0-py3-none-any.whl", "wheel"),
        ("sample-what.whl", "wheel"),
    ],
)
def test_a_kind_is_what_an_installer_would_make_of_a_file(filename: str, kind: str) -> None:
    kinds = ("wheel", "sdist", "other")
    page = page_of(file_of(filename), file_of(EGG))
    hiding = [
        one
        for one in kinds
        if filename not in views(page, under(CONTEXT, deny(Kinds((one,))))).shown
    ]
    assert hiding == [kind]


def test_versions_are_those_that_have_a_file_left() -> None:
    made = views(PAGE, under(CONTEXT, deny(Kinds(("wheel",)))))
    assert made.json["versions"] == ["0.9", "2.0"]
    assert views(PAGE, CONTEXT).json["versions"] == ["0.9", "1.0", "2.0"]


def test_a_warning_is_what_clients_print_of_yanked_files() -> None:
    made = views(PAGE, under(CONTEXT, warn(Specs(("sample==1.0",)), "old", "use 2")))
    yanked = {file["filename"]: file.get("yanked") for file in made.json["files"]}
    assert yanked[WHEEL] == "use 2 (rule old)"
    assert yanked[LINUX] == "broken"
    assert 'data-yanked="use 2 (rule old)"' in made.html
    assert not any(made.gate.values())


@pytest.mark.parametrize("unknown", [LargerThan(5), Builds(("x",))])
def test_a_warning_in_doubt_lets_nothing_through_that_a_later_rule_refuses(
    unknown: Condition,
) -> None:
    page = page_of(file_of(WHEEL, size=None), file_of(SDIST, size=None))
    rules = (warn(unknown, "large"), deny(Kinds(("sdist",)), "no"), allow(Kinds(("wheel",))))
    made = views(page, under(CONTEXT, *rules))
    assert [(one["filename"], bool(one.get("yanked"))) for one in made.json["files"]] == [
        (WHEEL, True)
    ]
    assert made.counts == {"no": 1}
    closed = under(CONTEXT, warn(unknown, "large"), default=Effect.DENY)
    assert views(page, closed).counts == {"default": 2}


def test_companions_are_refused_with_their_file() -> None:
    page = page_of(file_of(WHEEL, core_metadata={"sha256": "7" * 64}, gpg_sig=True))
    made = views(page, under(CONTEXT, deny(Names(("sample",)), "no", "why")))
    assert set(made.gate.values()) == {("no", "why")}
    assert len(made.gate) == 3
    assert made.counts == {"no": 1}


def test_a_page_of_which_nothing_is_left_is_empty_or_refused() -> None:
    empty = views(PAGE, under(CONTEXT, deny(Names(("*",)))))
    assert empty.json["files"] == []
    assert WHOLE not in empty.gate
    refused = views(PAGE, under(CONTEXT, deny(Names(("*",))), blocked=Blocked.REFUSE))
    assert refused.gate[WHOLE] == ("no", "named *")
    some = views(PAGE, under(CONTEXT, deny(Kinds(("wheel",))), blocked=Blocked.REFUSE))
    assert WHOLE not in some.gate
    nothing = views(page_of(), under(CONTEXT, deny(Names(("*",))), blocked=Blocked.REFUSE))
    assert WHOLE not in nothing.gate


def test_a_projects_status_can_be_judged() -> None:
    page = page_of(file_of(WHEEL), **{"project-status": {"status": "archived"}})
    assert views(page, under(CONTEXT, deny(Statuses(("archived",))))).shown == set()


def test_where_the_index_gives_no_times_ours_count() -> None:
    file = file_of(WHEEL)
    context = under(CONTEXT, deny(YoungerThan(DAY)))
    for age, is_shown in ((2 * DAY, True), (60.0, False)):
        table = first_seen.merged(None, [(identity(file), MOMENT - age)], MOMENT)
        assert bool(views(page_of(file), context, first_seen=table).shown) == is_shown
    dated = file_of(LINUX, upload_time="2020-01-01T00:00:00Z")
    found = list(PYPI.undated(page_index(), body_of(page_of(file, dated))))
    assert found == [(identity(file), None)]


def test_another_content_under_a_known_name_is_another_file() -> None:
    assert identity(file_of(WHEEL)) != identity(file_of(WHEEL, hashes={"sha256": "6" * 64}))


def test_the_legacy_json_lists_what_the_page_lists() -> None:
    context = under(CONTEXT, deny(Specs(("sample==2.0",))))
    page = views(PAGE, context)
    rows = PYPI.render(page_index(), page.body, context, frozenset({"json", "html", ROWS}))
    gate = next(b"".join(one.chunks) for one in rows if one.form == ROWS)
    index = PYPI.classify(MIRROR, "pypi/sample/json")
    releases = {
        "1.0": [{**file_of(WHEEL), "digests": {"sha256": "5" * 64}}],
        "2.0": [{**file_of(SDIST), "digests": {"sha256": "5" * 64}}],
        "3.0": [],
    }
    body = replace(body_of({"info": {}, "releases": releases, "urls": releases["2.0"]}), gate=gate)
    decider = PYPI.decided_by(index)  # type: ignore[arg-type]
    assert decider is not None
    assert decider.path == "simple/sample/"
    (made,) = PYPI.render(index, body, context, frozenset({"json"}))  # type: ignore[arg-type]
    shown = json.loads(b"".join(made.chunks))
    assert set(shown["releases"]) == {"1.0", "3.0"}
    assert [file["filename"] for file in shown["urls"]] == [WHEEL]


@pytest.mark.parametrize(
    ("hidden", "latest"),
    [
        ("sample==9", "3.0"),  # nothing that is there
        ("sample==3.0", "2.0"),
        ("sample>=2", "1.0"),
        ("sample>=1", "0.9"),  # yanked, but all that is left
        ("sample!=4.0rc1", "4.0rc1"),
        ("sample", None),
    ],
)
def test_the_legacy_json_is_about_the_newest_release_that_is_left(
    hidden: str, latest: str | None
) -> None:
    listed = {
        version: file_of(f"sample-{version}.tar.gz")
        | {"digests": {"sha256": "5" * 64}, "requires_python": ">=3", "yanked": version == "0.9"}
        for version in ("0.9", "1.0", "2.0", "3.0", "4.0rc1")
    }
    context = under(CONTEXT, deny(Specs((hidden,))))
    rows = PYPI.render(
        page_index(), body_of(page_of(*listed.values())), context, frozenset({"json", "html", ROWS})
    )
    gate = next(b"".join(one.chunks) for one in rows if one.form == ROWS)
    at = "https://pypi.example.org/project/sample"
    info = {
        "name": "sample",
        "version": "3.0",
        "release_url": f"{at}/3.0/",
        "requires_dist": ["other"],
        "requires_python": ">=3.9",
    }
    document = {
        "info": info,
        "releases": {version: [one] for version, one in listed.items()},
        "urls": [listed["3.0"]],
        "vulnerabilities": [{"id": "x"}],
        "more": 1,
    }

    def shown(document: dict[str, Any]) -> Any:
        index = PYPI.classify(MIRROR, "pypi/sample/json")
        body = replace(body_of(document), gate=gate)
        (made,) = PYPI.render(index, body, context, frozenset({"json"}))  # type: ignore[arg-type]
        return json.loads(b"".join(made.chunks))

    found = shown(document)
    assert found["info"]["version"] == latest
    assert [file["filename"] for file in found["urls"]] == (
        [] if latest is None else [f"sample-{latest}.tar.gz"]
    )
    if latest == "3.0":
        assert found["info"] == info
        assert "vulnerabilities" in found
        return
    assert "vulnerabilities" not in found
    assert found["info"]["release_url"] == (f"{at}/{latest}/" if latest else f"{at}/")
    assert found["info"]["requires_dist"] is None
    assert found["info"]["requires_python"] == (">=3" if latest else None)
    assert "yanked" not in found["info"]
    assert found["more"] == 1


# -- properties ----------------------------------------------------------------------------

FILENAMES = [
    WHEEL,
    LINUX,
    SDIST,
    EGG,
    "sample-3.0-py3-none-win_amd64.whl",
    "sample-x-y.whl",
    "sample-1.0.post1.zip",
    "sample",
]


def _files() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, size, time, yanked: file_of(
            name, size=size, upload_time=time, yanked=yanked, core_metadata=True, odd={"k": 1.5}
        ),
        st.sampled_from(FILENAMES),
        st.none() | st.integers(0, 3000),
        st.sampled_from([None, "2020-01-01T00:00:00Z", "2023-11-14T20:00:00Z", "soon", 5]),
        st.sampled_from([False, True, "why", None]),
    )


def _pages() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda files, versions: page_of(*files, versions=versions, _more=[1.0]),
        st.lists(_files(), max_size=6, unique_by=lambda file: file["filename"]),
        st.lists(st.sampled_from(["1.0", "2", "3.0", "odd"]), unique=True),
    )


RULES = random_policies(
    ["sample"],
    ["sample", "sample<2", "sample>=2,!=3", "other"],
    Yanked(),
    Kinds(("wheel",)),
    Tags(("cp312-*", "*-win_amd64")),
    Statuses(("active",)),
    Vulnerable(),
)


@given(_pages(), RULES)
def test_what_views_list_is_what_the_gate_lets_through(page: dict[str, Any], rules: Policy) -> None:
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    made, plain = views(page, context), views(page, CONTEXT)
    files = {key: denied for key, denied in made.gate.items() if not key.endswith(".metadata")}
    assert made.shown == {key.rpartition("/")[2] for key, denied in files.items() if denied is None}
    assert made.gate.keys() == plain.gate.keys()
    for key, denied in made.gate.items():
        assert denied == made.gate[key.removesuffix(".metadata")]
    judged = {
        one.filename
        for one in PYPI.judged(page_index(), made.body, context)
        if not one.verdict.hides
    }
    assert judged == made.shown
    kept = [file for file in plain.json["files"] if file["filename"] in made.shown]
    without = [{k: v for k, v in file.items() if k != "yanked"} for file in made.json["files"]]
    assert without == [{k: v for k, v in file.items() if k != "yanked"} for file in kept]
    assert made.json["_more"] == [1.0]
    for name in made.shown:
        assert f">{name}<" in made.html


@given(_pages(), RULES)
def test_rendering_what_was_rendered_changes_nothing(page: dict[str, Any], rules: Policy) -> None:
    # What is warned of is listed as yanked, which a rule about that must see the second time.
    warns = any(rule.effect is Effect.WARN for rule in (*rules.rules, *rules.overrides))
    assume(not (warns and "Yanked(" in repr(rules)))
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    once = views(page, context).json
    again = views(once, context, url=PAGE_URL).json
    names = [file["filename"] for file in once["files"]]
    assert [file["filename"] for file in again["files"]] == names
    assert again.get("versions") == once.get("versions")


# -- what a policy may say -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (Specs(("a >=",)), "requirement"),
        (Specs(("a; python_version>'3'",)), "alone"),
        (Specs(("a @ https://x.example.org/a.whl",)), "alone"),
        (Specs(("a",), dependencies=True), "dependencies"),
        (Kinds(("conda",)), "conda"),
        (Statuses(("dead",)), "dead"),
        (Licences(("MIT",)), "licence"),
        (Builds(("x",)), "build"),
        (NeedsCompilation(), "compiled"),
    ],
)
def test_a_condition_that_an_index_cannot_have_is_told(condition: Any, word: str) -> None:
    assert word in (PYPI.wrong(condition) or "")


def test_an_exception_comes_before_the_rule() -> None:
    rules = (allow(Specs(("sample==1.0",))), deny(Names(("*",))))
    assert views(PAGE, under(CONTEXT, *rules)).shown == {WHEEL}


# -- vulnerabilities -----------------------------------------------------------------------

LEAK = Advisory(id="PYSEC-1", score=7.5, ranges=(Range((("introduced", "0"), ("fixed", "2.0"))),))
EVIL = Advisory(id="MAL-1", malicious=True, versions=frozenset({"2.0"}))


def known(*advisories: Advisory, **changes: Any) -> Context:
    table = {"sample": tuple(replace(one, **changes) for one in advisories)}
    return replace(CONTEXT, advisories=Advisories(by_name=table))


@pytest.mark.parametrize(
    ("condition", "changes", "hidden"),
    [
        (Vulnerable(), {}, {WHEEL, EGG}),
        (Vulnerable(score=7.5), {}, {WHEEL, EGG}),
        (Vulnerable(score=7.6), {}, {EGG}),
        (Vulnerable(score=9), {"score": None}, {WHEEL, EGG}),
        (Vulnerable(), {"status": Status.MITIGATED}, {EGG}),
        (Vulnerable(statuses=("mitigated",)), {"status": Status.MITIGATED}, {WHEEL, EGG}),
        (FixesVulnerability(), {}, {LINUX, SDIST, EGG}),
        (Not(FixesVulnerability()), {}, {WHEEL, EGG}),
    ],
)
def test_vulnerable_versions_are_those_that_the_advisory_names(
    condition: Condition, changes: dict[str, Any], hidden: set[str]
) -> None:
    # The egg's version is not read: it might be any.
    made = views(PAGE, under(known(LEAK, **changes), deny(condition)))
    assert made.shown == {WHEEL, LINUX, SDIST, EGG} - hidden


def test_a_project_without_advisories_is_not_vulnerable() -> None:
    context = replace(CONTEXT, advisories=Advisories())
    assert len(views(PAGE, under(context, deny(Vulnerable()))).shown) == 4


def test_without_advisories_at_all_nothing_is_known_and_so_refused() -> None:
    assert views(PAGE, under(CONTEXT, deny(Vulnerable()))).shown == set()


def test_what_is_malicious_is_refused_before_any_override() -> None:
    context = under(known(EVIL), overrides=(MALICIOUS, allow(Names(("*",)))))
    made = views(PAGE, context)
    assert made.shown == {WHEEL}
    assert ("malicious", MALICIOUS.reason) in made.gate.values()


def test_a_cool_down_may_let_security_fixes_through() -> None:
    rule = deny(All((YoungerThan(3 * DAY), Not(FixesVulnerability()))))
    assert views(PAGE, under(known(LEAK), rule)).shown == {WHEEL, LINUX, SDIST}
