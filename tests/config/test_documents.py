"""The sample file and the reference say what the code does."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.config import load
from proxy.config.credentials import KINDS
from proxy.config.declared import AUTH_FILE, MIRROR, SECTIONS
from proxy.config.reference import text

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "config" / "pkgproxy.toml"
REFERENCE = ROOT / "docs" / "configuration.md"


def test_the_sample_file_as_it_is_changes_nothing() -> None:
    found = load(SAMPLE, {}).settings
    assert set(found.policies) == {"cool-down", "licences", "allow-list"}
    assert replace(found, policies={}) == load(None, {}).settings


def test_the_sample_file_loads_with_everything_in_it(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    path = tmp_path / "all.toml"
    shutil.copytree(SAMPLE.parent / "policies", tmp_path / "policies")
    text = _everything()
    for named in (
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pkgproxy/tls.pem",
        "/etc/pkgproxy/tls.key",
        "/etc/pkgproxy/admin.pem",
        "/etc/pkgproxy/admin.key",
        "/etc/pkgproxy/advisories.toml",
        "/etc/pkgproxy/conda-names.json",
    ):
        text = text.replace(named, str(bundle))
    path.write_text(text)
    loaded = load(path, {"EXAMPLE_TOKEN": "x" * 16, "EXAMPLE_PASSWORD": "x"})
    assert len(loaded.settings.credentials) == len(KINDS)
    assert {table["kind"] for table in _parsed()["credentials"].values()} == set(KINDS)


def test_every_setting_stands_in_the_sample_file() -> None:
    content = _parsed()
    for section, keys in SECTIONS.items():
        assert list(content[section]) == [key.name for key in keys]
    assert set(content["mirror"][0]) == {key.name for key in MIRROR}
    assert AUTH_FILE.name in content


def test_every_setting_has_a_comment_of_its_own_or_its_neighbours() -> None:
    paragraphs = SAMPLE.read_text().split("\n\n")
    for key in (AUTH_FILE, *MIRROR, *(key for keys in SECTIONS.values() for key in keys)):
        said = next(it for it in paragraphs if re.search(rf"^#?{key.name} = ", it, re.MULTILINE))
        assert said.startswith(("# ", "\n# ")), key.name


def test_the_reference_is_made_from_the_code() -> None:
    advice = "run: pkgproxy config reference > docs/configuration.md"
    assert REFERENCE.read_text(encoding="utf-8") == text(), advice


def test_the_reference_names_every_setting_and_its_default() -> None:
    rows = [line.split(" | ") for line in text().splitlines() if line.startswith("| `")]
    told = {row[0].strip("| `"): row for row in rows}
    for key in (AUTH_FILE, *MIRROR, *(key for keys in SECTIONS.values() for key in keys)):
        assert told[key.name][1:2] == [key.kind.name]
        if key.default not in (None, []):
            assert str(key.default).lower() in told[key.name][2].lower()


def _everything() -> str:
    """The sample with the settings that are commented out, and those of active mirrors in use."""
    text = SAMPLE.read_text().replace('mode = "passive"', 'mode = "active"')
    return re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE)


def _parsed() -> dict[str, Any]:
    return tomllib.loads(_everything())
