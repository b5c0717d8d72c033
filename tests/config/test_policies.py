"""Policies in files: what may be written, what is wrong where, and which mirror has which."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Settings, load
from proxy.config.fitting import doubts, misfits, never_fitting
from proxy.config.policies import filtered, listing_as, read_one
from proxy.config.policy_conditions import CONDITIONS
from proxy.core.policy import (
    All,
    AnyOf,
    Blocked,
    Effect,
    LargerThan,
    Names,
    Not,
    Policy,
    Specs,
    Vulnerable,
    YoungerThan,
)
from proxy.errors import ConfigError

GUIDE = Path(__file__).parents[2] / "docs" / "policies.md"


def read(tmp_path: Path, text: str, name: str = "house") -> Policy:
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return read_one(path)


def settings(tmp_path: Path, mirrors: str, **policies: str) -> Settings:
    (tmp_path / "policies").mkdir(exist_ok=True)
    for name, text in policies.items():
        (tmp_path / "policies" / f"{name}.toml").write_text(text)
    main = tmp_path / "pkgproxy.toml"
    main.write_text(mirrors)
    return load(main, {}).settings


def test_everything_that_may_be_written_is_read(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        """
        description = "All of it."
        default = "deny"
        blocked = "refuse"
        [[rule]]
        name = "one"
        deny = { names = ["a*", "b"], younger_than = "7d", not = { specs = "c 1.*" } }
        reason = "because"
        expires = 2027-01-31
        types = ["conda"]
        [[rule]]
        name = "two"
        allow = { any = [{ larger_than = "1 MiB" }, { all = [{ vulnerability = true }] }] }
        [[rule]]
        name = "three"
        warn = { vulnerability = { score = 7, status = "disputed" } }
        [[override]]
        name = "over"
        allow = { specs = ["x"], dependencies = true }
        """,
    )
    one, two, three = policy.rules
    assert one.condition == All((Names(("a*", "b")), YoungerThan(604800.0), Not(Specs(("c 1.*",)))))
    assert (one.effect, one.reason, one.types) == (Effect.DENY, "because", frozenset({"conda"}))
    assert one.expires == 1801353600.0
    assert two.condition == AnyOf((LargerThan(1 << 20), All((Vulnerable(),))))
    assert three.condition == Vulnerable(7.0, ("disputed",))
    assert policy.overrides[0].condition == Specs(("x",), dependencies=True)
    assert (policy.name, policy.default, policy.blocked) == ("house", Effect.DENY, Blocked.REFUSE)


RULE = '[[rule]]\nname = "r"\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("rules = 1", 1, "did you mean rule"),
        ('default = "maybe"', 1, "allow or deny"),
        ("[[rule]]\ndeny = { names = ['a'] }", 1, "name"),
        (RULE, 1, "allow, deny, warn"),
        (RULE + "deny = { names = ['a'] }\nallow = { names = ['a'] }", 1, "one of"),
        (RULE + "deny = { nmes = ['a'] }", 3, "did you mean names"),
        (RULE + "deny = { names = [] }", 3, "at least one"),
        (RULE + "deny = { names = [1] }", 3, "list of texts"),
        (RULE + "deny = { names = ['a<2'] }", 3, "specs"),
        (RULE + "deny = { names = ['a == 2'] }", 3, "specs"),
        (RULE + "deny = { names = [' a'] }", 3, "more than a name"),
        (RULE + "deny = { names = ['a[extra]'] }", 3, "more than a name"),
        (RULE + "deny = { names = ['^a.*'] }", 3, "no package is called like"),
        (RULE + "deny = { names = ['.*'] }", 3, "no package is called like"),
        (RULE + "deny = { names = ['a,b'] }", 3, "a text of its own"),
        (RULE + "deny = { names = ['a|b'] }", 3, "a text of its own"),
        (RULE + "deny = { names = ['conda-forge::a'] }", 3, "no package is called like"),
        (RULE + 'deny = { names = ["a\\u0000"] }', 3, "no package is called like"),
        (RULE + "deny = { names = ['a-1-py3-none-any.whl'] }", 3, "the name of a file"),
        (RULE + "deny = { names = ['a'] }\ntypes = []", 4, "mirror types"),
        (RULE.replace('"r"', '"offline"') + "deny = { names = ['a'] }", 2, "proxy's own"),
        (RULE.replace('"r"', '"default"') + "deny = { names = ['a'] }", 2, "proxy's own"),
        (RULE + "deny = { names = ['a'], dependencies = true }", 3, "beside specs"),
        (RULE + "deny = {}", 3, "table of conditions"),
        (RULE + "deny = { any = [] }", 3, "list of tables"),
        (RULE + "deny = { younger_than = 'soon' }", 3, "with a unit"),
        (RULE + "deny = { younger_than = 7 }", 3, "with a unit"),
        (RULE + "deny = { older_than = '7' }", 3, "with a unit"),
        (RULE + "deny = { older_than = '0d' }", 3, "more than 0"),
        (RULE + "deny = { older_than = '200y' }", 3, r"\(m, h, d or w\)"),
        (RULE + "deny = { older_than = '40000d' }", 3, "36500d at the most"),
        (RULE + "deny = { larger_than = '5 elephants' }", 3, "bytes"),
        (RULE + "deny = { vulnerability = { score = 11 } }", 3, "0 to 10"),
        (RULE + "deny = { vulnerability = { status = ['odd'] } }", 3, "mitigated"),
        (RULE + "deny = { yanked = 'yes' }", 3, "true or false"),
        (RULE + "deny = { names = ['a'] }\nexpires = '2027-01-01'", 4, "without quotes"),
        (RULE + "deny = { names = ['a'] }\ntypes = ['npm']", 4, "mirror types"),
        (RULE + "deny = { names = ['a'] }\ntypes = ['conda', 'files']", 4, "conda, pypi, cran$"),
        (RULE + "deny = { names = ['a'] }\nreason = ''", 4, "text in quotes"),
        (RULE + 'deny = { names = ["a"] }\nreason = "a\\u001b[31m"', 4, "control characters"),
        ('[[override]]\nname = "o"\ndeny = { names = ["a"] }', 3, "allow"),
        (RULE + "deny = { names = ['a'] }\n" + RULE + "deny = { names = ['a'] }", 5, "two rules"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        read(tmp_path, text)
    assert f"house.toml:{line}: " in str(error.value)


CONDA = '[[mirror]]\ntype = "conda"\nname = "c"\nsource = "https://c.example.org/c"\n'
PYPI = '[[mirror]]\ntype = "pypi"\nname = "p"\nsource = "https://p.example.org/simple/"\n'
FILES = '[[mirror]]\ntype = "files"\nname = "f"\nsource = "https://f.example.org/"\n'
NO_A = RULE + 'deny = { names = ["a"] }'
OTHER = '[[rule]]\nname = "other"\ndeny = { names = ["b"] }'


def test_a_mirrors_own_policy_comes_in_place_of_the_one_for_all(tmp_path: Path) -> None:
    text = f'policy = "house"\n{CONDA}policy = "own"\n{PYPI}{FILES}'
    found = {
        one.type: one.policy for one in settings(tmp_path, text, house=NO_A, own=OTHER).mirrors
    }
    assert found["conda"] is not None
    assert found["conda"].name == "own"
    assert found["pypi"] is not None
    assert found["pypi"].name == "house"
    assert found["files"] is None
    (mirror,) = settings(tmp_path, f'policy = "house"\n{CONDA}policy = "none"\n').mirrors
    assert mirror.policy is None


def test_a_mirrors_lists_come_before_its_policy(tmp_path: Path) -> None:
    text = f'policy = "house"\n{CONDA}exclude = ["p*"]\ninclude = ["python"]\n'
    house = f'{NO_A}\n[[override]]\nname = "back"\nallow = {{ names = ["pandas"] }}'
    (mirror,) = settings(tmp_path, text, house=house).mirrors
    assert mirror.policy is not None
    (first, brought_back), (rule,) = mirror.policy.overrides, mirror.policy.rules
    assert first.condition == All((Names(("p*",)), Not(Names(("python",)))))
    assert (first.effect, brought_back.name, rule.name) == (Effect.DENY, "back", "r")
    draft = listing_as(Policy(name="draft"), mirror.policy)
    assert draft.overrides == (first,)
    assert listing_as(draft, None) == draft


@pytest.mark.parametrize(
    ("mirror", "policy", "words"),
    [
        (CONDA + 'policy = "gone"\n', NO_A, "there is no policy 'gone'; known: house"),
        (CONDA + 'include = ["a"]\n', NO_A, "no exclude"),
        (CONDA + 'exclude = ["a >=2"]\n', NO_A, "more than a name"),
        (FILES + 'policy = "house"\n', NO_A, "a tree of files has no index"),
        (FILES + 'exclude = ["a"]\n', NO_A, "a tree of files has no index to judge its files by$"),
        (PYPI + 'policy = "house"\n', RULE + 'deny = { licences = ["MIT"] }', "licence"),
        (PYPI + 'policy = "house"\n', RULE + 'deny = { specs = ["a >="] }', "requirement"),
        (CONDA + 'policy = "house"\n', RULE + 'deny = { specs = ["a >="] }', "MatchSpec"),
        (CONDA + 'policy = "house"\n', RULE + 'deny = { licences = ["MITT"] }', "did you mean MIT"),
        (CONDA + 'policy = "house"\n', RULE + 'deny = { licences = ["GPL3"] }', "licence_families"),
        (CONDA + 'policy = "house"\n', RULE + 'warn = { names = ["a"] }', "print no warnings"),
    ],
)
def test_a_policy_that_a_mirror_cannot_have_is_told(
    tmp_path: Path, mirror: str, policy: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tmp_path, mirror, house=policy)


def test_a_rule_about_vulnerabilities_needs_advisories(tmp_path: Path) -> None:
    """Else it refuses everything, for a reason that is not true."""
    asking = RULE + "deny = { any = [{ vulnerability = true }, { names = ['a'] }] }"
    with pytest.raises(ConfigError, match="set osv under") as error:
        settings(tmp_path, PYPI + 'policy = "house"\n', house=asking)
    assert f"mirror p, policy: {tmp_path}/policies/house.toml:3: rule r: " in str(error.value)
    settings(tmp_path, FILES + PYPI, house=asking)  # nobody has it
    excepting = "deny = { younger_than = '7d', not = { fixes_vulnerability = true } }"
    settings(tmp_path, PYPI + 'policy = "house"\n', house=RULE + excepting)
    (tmp_path / "osv").mkdir()
    advised = f'policy = "house"\n[advisories]\nosv = "{tmp_path}/osv"\n{PYPI}'
    settings(tmp_path, advised, house=asking)


def test_a_mirror_is_not_to_blame_for_the_policy_that_it_names(tmp_path: Path) -> None:
    for broken in ("[[rule]", RULE):
        with pytest.raises(ConfigError, match=r"house\.toml") as error:
            settings(tmp_path, CONDA + 'policy = "house"\n', house=broken)
        assert "there is no policy" not in str(error.value)


def test_what_is_wrong_for_a_type_that_the_rule_names_fits_nowhere(tmp_path: Path) -> None:
    only = RULE + 'types = ["pypi"]\ndeny = { tags = ["cp312"] }'
    (told,) = never_fitting(read(tmp_path, only))
    assert told.startswith(f"{tmp_path}/house.toml:4: rule r: no wheel's tag is like 'cp312'; ")
    others = RULE + 'deny = { tags = ["cp312-*", "cp312-cp312-any"] }'  # not for conda
    assert not list(never_fitting(read(tmp_path, others)))


def test_what_is_wrong_with_several_conditions_is_told_once(tmp_path: Path) -> None:
    rule = f'{RULE}deny = {{ all = [{{ names = ["a"] }}, {{ names = ["b"] }}] }}'
    assert len(list(misfits(read(tmp_path, rule), "files"))) == 1


def test_what_does_not_fit_is_told_with_the_line_of_its_condition(tmp_path: Path) -> None:
    text = """
        [[override]]
        name = "kept"
        allow = { names = ["a"] }
        [[rule]]
        name = "withdrawn"
        warn.yanked = true
        [[rule]]
        name = "several"
        [[rule.deny.any]]
        not = { any = [
            { names = ["b"] },
            { specs = ["c"], dependencies = true, tags = ["cp312-*"] },
        ] }
        platforms = ["linux64"]
        """
    policy = read(tmp_path, text)
    lines = [one.removeprefix(f"{tmp_path}/house.toml:") for one in misfits(policy, "conda")]
    hint = "(or name the mirror types it is for: types = [...])"
    qualities = "a channel's index does not say whether a package is"
    assert [line.partition(";")[0] for line in lines] == [
        "5: rule withdrawn: clients of conda mirrors print no warnings",
        f"7: rule withdrawn: {qualities} yanked {hint}",
        f"13: rule several: {qualities} a wheel with such a tag {hint}",
    ]
    (doubt,) = doubts(policy, ["conda"])
    assert doubt.startswith(f"{tmp_path}/house.toml:15: rule several: ")


def test_a_mirrors_own_lists_are_named_by_what_stands_for_them() -> None:
    (told,) = misfits(filtered(None, "files/f", ["a"], []) or Policy(name=""), "files")
    assert (
        told == "policy files/f: rule exclude: a tree of files has no index to judge its files by"
    )


@pytest.mark.parametrize("more", ["# about a", 'description = "About a."'])
def test_where_a_rule_stands_does_not_matter_nor_what_is_written_about_it(
    tmp_path: Path, more: str
) -> None:
    """Else a comment would make all views anew."""
    rule = RULE + 'deny = { names = ["a"] }'
    one, other = (read(tmp_path, text) for text in (rule, f"{more}\n{rule}"))
    assert one.rules[0].where != other.rules[0].where
    assert one == other
    assert one.digest == other.digest


def test_a_rule_for_other_types_does_not_matter(tmp_path: Path) -> None:
    rule = RULE + 'types = ["conda"]\ndeny = { licences = ["MIT"] }'
    (mirror,) = settings(tmp_path, PYPI + 'policy = "house"\n', house=rule).mirrors
    assert mirror.policy is not None


def test_the_guide_names_every_condition() -> None:
    text = GUIDE.read_text()
    for key in CONDITIONS:
        assert f"| `{key.name}` | {key.kind.name} | {key.help} |" in text, key.name
