"""`pkgproxy policy check` says what is wrong, and what a file that is right does."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli.policy import checked
from proxy.errors import ConfigError

RULE = '[[rule]]\nname = "r"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "house.toml"
    path.write_text(text)
    return path


def test_a_rule_that_is_over_is_told(tmp_path: Path) -> None:
    text = RULE + 'deny = { names = ["a"] }\nexpires = '
    told = checked(written(tmp_path, text + "2020-01-01"))
    assert "Rule r ended on 2020-01-01: it no longer holds." in told.lines
    assert not any(
        "ended" in line for line in checked(written(tmp_path, text + "2999-01-01")).lines
    )


def test_types_that_a_policy_does_not_fit_are_told(tmp_path: Path) -> None:
    told = checked(written(tmp_path, RULE + "deny = { yanked = true }"))
    assert told.values["fits"] == ["pypi"]
    assert any("name the mirror types" in line for line in told.lines)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('types = ["conda"]\ndeny = { licences = ["GPL-9"] }', "no SPDX licence"),
        ('types = ["pypi"]\ndeny = { specs = ["a >="] }', "no requirement"),
        ('types = ["conda"]\nwarn = { names = ["a"] }', "print no warnings"),
    ],
)
def test_a_rule_that_is_wrong_for_the_type_it_names_is_an_error(
    tmp_path: Path, rule: str, words: str
) -> None:
    path = written(tmp_path, RULE + rule)
    with pytest.raises(ConfigError, match=words) as error:
        checked(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "name the mirror types" not in str(error.value)
