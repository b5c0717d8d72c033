"""The benchmark's policy: one rule of each kind that has to look at every record."""

from __future__ import annotations

NAMES = ("*-static", "*-docs")
SPECS = ("libbabe >=2", "kamo 1.*")
FAMILIES = ("AGPL",)
LARGEST = 50_000_000  # bytes
COOL_DOWN = 7 * 86400.0  # seconds


def toml() -> str:
    """The same as a policy file."""
    return f"""
[[rule]]
name = "names"
deny = {{ names = {list(NAMES)} }}
[[rule]]
name = "specs"
deny = {{ specs = {list(SPECS)} }}
[[rule]]
name = "large"
deny = {{ larger_than = {LARGEST} }}
[[rule]]
name = "cool-down"
deny = {{ younger_than = "{COOL_DOWN:.0f}s" }}
[[rule]]
name = "licence"
deny = {{ licence_families = {list(FAMILIES)} }}
"""
