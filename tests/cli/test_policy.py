"""`pkgproxy policy` says what is wrong, and what a policy does, or that there is nothing to see."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.cli.policy import checked, explanation
from proxy.core.policy import Effect, Verdict
from proxy.errors import ConfigError
from proxy.gateway.explaining import Compared
from tests.advisories.test_store import write
from tests.core.test_advisories import osv

RULE = '[[rule]]\nname = "r"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "house.toml"
    path.write_text(text)
    return path


def test_a_policy_is_checked_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write a policy's path, such as policies/house\.toml"):
        checked(Path("house"))
    (tmp_path / "house").write_text(f'{RULE}deny = {{ names = ["a"] }}')
    assert checked(tmp_path / "house").values["summary"]


def test_a_rule_that_is_over_is_told(tmp_path: Path) -> None:
    text = RULE + 'deny = { names = ["a"] }\nexpires = '
    told = checked(written(tmp_path, text + "2020-01-01"))
    assert f"{tmp_path}/house.toml:1: rule r: ended on 2020-01-01: it no longer holds" in told.lines
    assert not any(
        "ended" in line for line in checked(written(tmp_path, text + "2999-01-01")).lines
    )


def test_types_that_a_policy_does_not_fit_are_told(tmp_path: Path) -> None:
    told = checked(written(tmp_path, RULE + "deny = { yanked = true }"))
    assert told.values["fits"] == ("pypi",)
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
    assert str(error.value).startswith((f"{path}:1: rule r: ", f"{path}:4: rule r: "))
    assert "name the mirror types" not in str(error.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            'deny = { platforms = ["linux-64", "linux64"] }',
            "no platform linux64: did you mean linux-",
        ),
        ('types = ["conda"]\ndeny = { not = { platforms = ["osx_64"] } }', "did you mean osx-64"),
        ('types = ["conda"]\ndeny = { platforms = ["linux_x86_64"] }', "no platform linux_x86_64"),
        ('types = ["cran"]\ndeny = { platforms = ["window"] }', "did you mean windows"),
        ('types = ["cran"]\ndeny = { platforms = ["macos/x", "linux"] }', "no platform linux"),
        ('types = ["pypi"]\ndeny = { platforms = ["linux64"] }', "begins like linux64"),
    ],
)
def test_a_platform_that_does_not_exist_is_warned_of(tmp_path: Path, rule: str, words: str) -> None:
    told = checked(written(tmp_path, RULE + rule))
    places = {one.partition("house.toml")[2] for one in told.values["warnings"]}
    assert all(one.startswith((":3: rule r: ", ":4: rule r: ")) for one in places)
    assert any(one.startswith("Warning: ") and words in one for one in told.lines)


@pytest.mark.parametrize(
    "rule",
    [
        'deny = { platforms = ["win-64", "noarch", "linux-*"] }',
        'deny = { platforms = ["win_amd64", "manylinux*", "any"] }',
        'deny = { platforms = ["windows", "macosx/big-sur-arm64", "linux/*", "source"] }',
        'types = ["pypi"]\ndeny = { platforms = ["*x86_64", "win*", "macosx_1?_0_arm64"] }',
    ],
)
def test_a_platform_that_exists_for_some_type_is_not_warned_of(tmp_path: Path, rule: str) -> None:
    assert checked(written(tmp_path, RULE + rule)).values["warnings"] == ()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    closed = '[[rule]]\nname = "some"\nallow = { specs = ["a"], dependencies = true }\n'
    (tmp_path / "policies" / "closed.toml").write_text(f'default = "deny"\n{closed}')
    (tmp_path / "policies" / "asking.toml").write_text(f"{RULE}deny = {{ vulnerability = true }}")
    path = tmp_path / "pkgproxy.toml"
    path.write_text(
        f"""
        cache.path = "{tmp_path}/cache"
        [[mirror]]
        type = "conda"
        name = "lab"
        source = "https://c.example.org/lab"
        policy = "closed"
        [[mirror]]
        type = "pypi"
        name = "lab"
        source = "https://p.example.org/simple/"
        """
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("diff", "none", "closed", "-m", "conda/lab"), 1, "No index of conda/lab is here"),
        (("diff", "none", "closed", "-m", "conda/lab", "--json"), 1, "No index of conda/lab"),
        (("dependencies", "conda/lab"), 1, "No index of conda/lab"),
        (("explain", "conda/lab", "a"), 1, "No index of conda/lab"),
        (
            ("diff", "none", "asking", "-m", "conda/lab"),
            2,
            "rule r: of no package it would be known",
        ),
        (("summary", "lab"), 2, "several mirrors lab; write one of conda/lab, pypi/lab"),
    ],
)
def test_what_cannot_be_answered_is_said(
    config: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    result = CliRunner().invoke(app, ["policy", *arguments, "--config", str(config)])
    assert (result.exit_code, result.stdout) == (status, "")
    assert words in result.stderr


@pytest.mark.parametrize(
    ("effect", "until", "words"),
    [
        (Effect.DENY, 7200, "deny by r: So (allowed from 1970-01-01 02:00 UTC); known"),
        (Effect.WARN, 7200, "warn by r: So (until 1970-01-01 02:00 UTC); known"),
        (Effect.WARN, None, "warn by r: So; known"),
    ],
)
def test_an_explanation_says_until_when_it_is_so(
    effect: Effect, until: int | None, words: str
) -> None:
    verdict = Verdict(effect=effect, rule="r", reason="So.", until=until)
    file = Compared(
        index="simple/a/",
        filename="a-1.tar.gz",
        name="a",
        version="1",
        published=60.0,
        verdicts=(verdict,),
    )
    assert list(explanation([file])) == [f"a-1.tar.gz: {words} since 1970-01-01 00:01 UTC"]


def test_a_summary_is_of_the_mirror_that_is_meant(config: Path) -> None:
    result = CliRunner().invoke(app, ["policy", "summary", "pypi/lab", "--config", str(config)])
    assert result.stdout == "Everything is allowed.\n"


def test_the_check_of_a_configuration_tells_which_policy_is_for_which_mirror(
    config: Path, tmp_path: Path
) -> None:
    over = f'{RULE}deny = {{ names = ["a"] }}\nexpires = 2020-01-01\n'
    (tmp_path / "policies" / "spare.toml").write_text(over)
    result = CliRunner().invoke(app, ["check-config", str(config)])
    assert result.stdout.splitlines() == [
        "1 file, 2 mirrors: conda/lab, pypi/lab",
        "policy asking: no mirror has it",
        "policy closed: conda/lab",
        "policy spare: no mirror has it",
        f"{tmp_path}/policies/spare.toml:1: rule r: ended on 2020-01-01: it no longer holds",
    ]


def test_the_check_of_a_configuration_warns_of_what_is_called_otherwise(
    config: Path, tmp_path: Path
) -> None:
    rule = f'{RULE}deny = {{ platforms = ["linux64"] }}\n'
    (tmp_path / "policies" / "closed.toml").write_text(rule)
    record = osv({"introduced": "0"}, aliases=["CVE-2026-1234"])
    write(tmp_path / "osv", one=record)
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(
        "".join(
            f'[[advisory]]\nid = "{one}"\nstatus = "cleared"\n'
            for one in ("CVE-2026-1234", "PYSEC-2026-1", "CVE-2026-1243")
        )
    )
    places = f'[advisories]\nosv = "{tmp_path}/osv"\noverlay = "{overlay}"\n'
    scope = 'mode = "active"\nplatforms = ["linux64"]\n'
    config.write_text(f"{config.read_text()}{scope}{places}")
    result = CliRunner().invoke(app, ["check-config", str(config)])
    assert result.exit_code == 0
    warnings = [one for one in result.stdout.splitlines() if one.startswith("Warning: ")]
    platform = "conda's clients know no platform linux64: did you mean linux-64 or linux-ppc64?"
    advisory = "no advisory that counts is called CVE-2026-1243; did you mean CVE-2026-1234?"
    first = f"{overlay}:1: advisory 1 comes first, and says that CVE-2026-1234 is cleared"
    scope = warnings.pop(0)
    assert scope.startswith(f"Warning: {config}:13: mirror lab, platforms: no wheel's platform tag")
    assert warnings == [
        f"Warning: {tmp_path}/policies/closed.toml:3: rule r: {platform}",
        f"Warning: {overlay}:7: advisory 3: {advisory}",
        f"Warning: {overlay}:4: advisory 2: does not count for sample: {first}",
    ]
    (tmp_path / "osv" / "one.json").unlink()
    result = CliRunner().invoke(app, ["check-config", str(config)])
    assert result.exit_code == 0
    assert "Warning: advisories are not known: " in result.stdout
    overlay.unlink()
    config.write_text(config.read_text().replace(f'overlay = "{overlay}"', ""))
    result = CliRunner().invoke(app, ["check-config", str(config)])
    assert f"Warning: advisories are not known: {tmp_path}/osv" in result.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "auth_file: there is no file "),
        ("{", "auth_file: "),
        ('{"c.example.org": {"Token": "x"}}', "c.example.org: 'Token' is none of BearerToken"),
        ('{"c.example.org": {"BearerToken": "x"}}', None),
    ],
)
def test_the_check_of_a_configuration_reads_the_file_of_credentials(
    config: Path, tmp_path: Path, content: str | None, words: str | None
) -> None:
    path = tmp_path / "auth.json"
    if content is not None:
        path.write_text(content)
    config.write_text(f'auth_file = "{path}"\n{config.read_text()}')
    told = CliRunner().invoke(app, ["check-config", str(config)]).stdout
    assert ("Warning: " in told) == (words is not None)
    assert words is None or words in told
