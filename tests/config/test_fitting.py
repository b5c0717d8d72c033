"""What in a policy can never matter is told with its line, and nothing that can is."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.fitting import doubts
from tests.config.test_policies import FILES, RULE, read, settings

LATER = '[[rule]]\nname = "later"\n'
ALL = '{ names = ["*"] }'
SOME = '{ names = ["a"] }'


def told(tmp_path: Path, text: str) -> list[str]:
    """The doubts, without the path."""
    found = doubts(read(tmp_path, text), ["conda", "pypi"])
    return [one.replace(f"{tmp_path}/house.toml:", "") for one in found]


@pytest.mark.parametrize(
    "first",
    [
        f"allow = {ALL}",
        f"deny = {ALL}",
        f"warn = {ALL}",
        f"deny = {{ any = [{SOME}, {ALL}] }}",
        f"deny = {{ all = [{ALL}, {{ names = ['b', '**'] }}] }}",
        f"deny = {ALL}\nexpires = 2027-02-01",
    ],
)
@pytest.mark.parametrize("later", ["", 'types = ["pypi"]\n'])
def test_a_rule_behind_one_that_decides_about_everything_is_told(
    tmp_path: Path, first: str, later: str
) -> None:
    text = f"{RULE}{first}\n{LATER}{later}deny = {SOME}\nexpires = 2027-01-31\n"
    line = 4 + first.count("\n")
    words = "can never matter: rule r (1) decides about every file before"
    assert told(tmp_path, text) == [f"{line}: rule later: {words}"]


def test_an_override_of_everything_leaves_nothing_to_the_rules(tmp_path: Path) -> None:
    text = f'{RULE}deny = {SOME}\n{LATER}deny = {SOME}\n[[override]]\nname = "o"\nallow = {ALL}\n'
    assert [one.partition(":")[0] for one in told(tmp_path, text)] == ["1", "4"]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ('deny = { names = ["a*"] }', ""),
        (f"deny = {{ not = {ALL} }}", ""),
        (f"deny = {{ all = [{ALL}, {SOME}] }}", ""),
        ('deny = { platforms = ["*"] }', ""),  # a source distribution is for none
        (f'types = ["pypi"]\ndeny = {ALL}', ""),
        (f'types = ["pypi"]\ndeny = {ALL}', 'types = ["conda", "pypi"]'),
        (f"deny = {ALL}\nexpires = 2027-01-31", ""),
        (f"deny = {ALL}\nexpires = 2027-01-31", "expires = 2027-02-01"),
    ],
)
def test_a_rule_to_which_something_may_be_left_is_not_told(
    tmp_path: Path, first: str, later: str
) -> None:
    text = f"{RULE}{first}\n{LATER}deny = {SOME}\n{later}\n"
    assert told(tmp_path, text) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (
            '{ younger_than = "7d", older_than = "7d" }',
            "published less than 7 days ago and published more than 7 days ago",
        ),
        (
            '{ names = ["a"], all = [{ older_than = "30d" }, { younger_than = "7d" }] }',
            "published less than 7 days ago and published more than 30 days ago",
        ),
        (
            '{ smaller_than = "1 MiB", larger_than = "1 MiB" }',
            "larger than 1 MiB and smaller than 1 MiB",
        ),
        (
            '{ any = [{ names = ["a"] }, { not = { larger_than = 2, smaller_than = 1 } }] }',
            "larger than 2 bytes and smaller than 1 byte",
        ),
    ],
)
def test_conditions_that_never_hold_together_are_told(
    tmp_path: Path, condition: str, words: str
) -> None:
    assert told(tmp_path, f"{RULE}deny = {condition}\n") == [f"3: rule r: no file is {words}"]


def test_the_line_is_that_of_the_later_condition(tmp_path: Path) -> None:
    text = """[[rule]]
name = "r"
[[rule.deny.any]]
older_than = "30d"
younger_than = "7d"
[[rule.deny.any]]
older_than = "30d"
"""
    (one,) = told(tmp_path, text)
    assert one.startswith("5: rule r: no file is published less")


@pytest.mark.parametrize(
    "condition",
    [
        '{ younger_than = "30d", older_than = "7d" }',
        '{ larger_than = "1 MiB", smaller_than = "2 MiB" }',
        '{ any = [{ younger_than = "7d" }, { older_than = "30d" }] }',
        '{ younger_than = "7d", not = { older_than = "30d" } }',
        '{ younger_than = "7d", any = [{ older_than = "30d" }, { names = ["a"] }] }',
    ],
)
def test_conditions_that_may_hold_together_are_not_told(tmp_path: Path, condition: str) -> None:
    assert told(tmp_path, f"{RULE}deny = {condition}\n") == []


def test_what_can_never_matter_is_told_when_the_configuration_is_read(tmp_path: Path) -> None:
    """Also of a policy that no mirror has yet."""
    text = f"{RULE}deny = {ALL}\n{LATER}deny = {SOME}\n"
    (doubt,) = settings(tmp_path, FILES, house=text).doubts
    assert doubt.startswith(f"{tmp_path}/policies/house.toml:4: rule later: can never matter: ")
