"""Tokens from the command line: shown once, listed without what proves them, revoked by name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.tokens import Tokens, hashed
from proxy.storage.token_file import TokenFile
from tests.lab.server import clean_environment

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(folder)
    return subprocess.run(
        [sys.executable, "-m", "proxy", "token", *arguments],
        cwd=ROOT,
        env={**environment, "PKGPROXY_ACCESS__TOKENS": str(folder / "tokens.json")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kept(folder: Path) -> Tokens:
    return TokenFile(folder / "tokens.json").read()


def test_a_token_is_printed_once_listed_and_revoked(tmp_path: Path) -> None:
    scopes = ("--scope", "read:conda/*", "--scope", "metrics")
    made = run(tmp_path, "create", "farm", *scopes, "--expires", "30d")
    assert made.returncode == 0, made.stderr
    text = made.stdout.removesuffix("\n")
    assert re.fullmatch("pkp-[A-Za-z0-9]{8}-[A-Za-z0-9]{32}", text), "stdout is the token alone"
    (token,) = kept(tmp_path)
    assert token.digest == hashed(text)
    assert token.expires is not None
    assert token.expires - token.created == 30 * 86400
    assert run(tmp_path, "create", "other").returncode == 0
    listed = run(tmp_path, "list")
    assert listed.stdout.splitlines()[0].split() == ["NAME", "SCOPES", "CREATED", "EXPIRES"]
    assert "read:conda/* metrics" in listed.stdout
    assert listed.stdout.splitlines()[2].split()[:2] == ["other", "read"]
    rows = json.loads(run(tmp_path, "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["farm", "other"]
    for shown in (listed.stdout, json.dumps(rows)):
        assert text not in shown
        assert token.digest not in shown
    third = json.loads(run(tmp_path, "create", "third", "--json").stdout)
    assert hashed(third["text"]) in {one.digest for one in kept(tmp_path)}
    assert json.loads(run(tmp_path, "revoke", "third", "--json").stdout) == {"revoked": "third"}
    assert run(tmp_path, "revoke", "farm").returncode == 0
    assert [one.name for one in kept(tmp_path)] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "Farm"), "a token's name is made of"),
        (("create", "farm", "--scope", "everything"), "a scope is one of read, write"),
        (("create", "farm", "--scope", "read:c onda"), "write a mirror as <type>/<name>"),
        (("create", "farm", "--expires", "soon"), "--expires: write seconds"),
        (("revoke", "farm"), "there is no token 'farm'"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = run(tmp_path, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(kept(tmp_path))


def test_a_scope_that_allows_nothing_is_told(tmp_path: Path) -> None:
    scopes = (
        "--scope",
        "read:lab",
        "--scope",
        "write",
        "--scope",
        "read:conda/*",
        "--scope",
        "read",
    )
    made = run(tmp_path, "create", "farm", *scopes)
    assert made.returncode == 0
    warnings = [line for line in made.stderr.splitlines() if line.startswith("Warning: ")]
    assert [line.split()[1] for line in warnings] == ["read:lab:", "write:"]
    assert "known are conda/conda-forge" in warnings[0]
