"""A closure as specs: each means its package, and mirrors take it."""

from __future__ import annotations

import tomllib

import pytest

from proxy.core.policy import Specs
from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.conda.records import Judgeable
from proxy.ecosystems.conda.specs import Spec
from proxy.mirror.wanted.closure import Needed
from proxy.mirror.wanted.exact import as_toml, specs_of
from proxy.upstream.served import Served
from tests.mirror.wanted.fake_server import BASE

SERVED = [
    Served(type=kind, name=name, source="https://x.example.org/", url=f"{BASE}/{kind}/{name}/")
    for kind, name in (
        ("conda", "main"),
        ("conda", "main/label"),
        ("pypi", "pypi"),
        ("cran", "cran"),
    )
]
DIGITS = f"aa/bb/{'c' * 60}"


def _specs(*paths: str) -> dict[str, list[str]]:
    return specs_of([Needed(url=f"{BASE}/{path}") for path in paths], SERVED)


@pytest.mark.parametrize(
    ("path", "key", "spec"),
    [
        ("conda/main/noarch/tz-data-2024a-h0_0.conda", "conda/main", "tz-data ==2024a h0_0"),
        ("conda/main/linux-64/a-1%211.0-0.tar.bz2", "conda/main", "a ==1!1.0 0"),
        ("conda/main/label/noarch/a-1.0-0.conda", "conda/main/label", "a ==1.0 0"),
        (f"pypi/pypi/packages/{DIGITS}/A_b-1.0-py3-none-any.whl", "pypi/pypi", "a-b==1.0"),
        (f"pypi/pypi/packages/{DIGITS}/a.b-1.0%2Blocal.tar.gz", "pypi/pypi", "a-b==1.0+local"),
        ("cran/cran/src/contrib/data.table_1.16.2.tar.gz", "cran/cran", "data.table (== 1.16.2)"),
        ("cran/cran/src/contrib/core_2.1-3.tar.gz", "cran/cran", "core (== 2.1-3)"),
    ],
)
def test_a_file_comes_to_a_spec_that_its_mirror_understands(path: str, key: str, spec: str) -> None:
    assert _specs(path) == {key: [spec]}
    kind = key.partition("/")[0]
    assert ECOSYSTEMS[kind].wrong(Specs((spec,))) is None
    table = tomllib.loads("\n".join(as_toml({key: [spec]})))["mirror"][0]
    assert (table["type"], table["name"], table["specs"]) == (*key.split("/", 1), [spec])


@pytest.mark.parametrize(
    "path",
    [
        f"pypi/pypi/packages/{DIGITS}/a-1.0-py3-none-any.whl.metadata",
        "cran/cran/src/contrib/Archive/core/core_1.0.tar.gz",
        "conda/main/noarch/repodata.json",
        "files/x/a-1.0-0.conda",
    ],
)
def test_what_no_index_lists_as_a_package_comes_to_none(path: str) -> None:
    assert _specs(path) == {}


def test_files_of_one_version_come_to_one_spec() -> None:
    wheels = [f"pypi/pypi/packages/{DIGITS}/a-1.0-cp312-cp312-{it}.whl" for it in ("win32", "any")]
    assert _specs(*wheels) == {"pypi/pypi": ["a==1.0"]}


def test_a_spec_of_conda_means_that_build_alone() -> None:
    (spec,) = _specs("conda/main/noarch/a-1.0-py_1.conda")["conda/main"]
    known = Spec.of(spec)
    for version, build, matches in (
        ("1.0", "py_1", True),
        ("1.0", "py_2", False),
        ("1.0.1", "py_1", False),
    ):
        record = Judgeable(name="a", version=version, build=build)
        assert known.matches(record, "noarch") is matches
