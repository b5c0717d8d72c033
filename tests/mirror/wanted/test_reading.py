"""What each format comes to, and what is said of a file that is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.mirror.wanted.reading import FORMATS, read, told
from proxy.mirror.wanted.values import (
    Beyond,
    Environment,
    Item,
    LockedConda,
    LockedPypi,
    LockedR,
    Requirements,
    RPackage,
)
from tests.mirror.wanted import samples
from tests.mirror.wanted.samples import targets, written

FORGE = "https://conda.anaconda.org/conda-forge"


def _urls(items: tuple[Item, ...]) -> list[str]:
    return [item.url for item in items if isinstance(item, LockedConda | LockedPypi)]


def _names(items: tuple[Item, ...]) -> list[str]:
    return [url.rpartition("/")[2] for url in _urls(items)]


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("environment.yml", "", "environment"),
        ("environment.yaml", "", "environment"),
        ("dev-env.yml", "", "environment"),
        ("conda-lock.yml", "", "conda-lock"),
        ("my.conda-lock.yaml", "", "conda-lock"),
        ("pylock.toml", "", "pylock"),
        ("pylock.dev.toml", "", "pylock"),
        ("uv.lock", "", "uv"),
        ("pixi.lock", "", "pixi"),
        ("renv.lock", "", "renv"),
        ("requirements.txt", "x==1", "requirements"),
        ("dev.in", "x", "requirements"),
        ("ship.specs", "", "specs"),
        ("spec-file.txt", samples.EXPLICIT, "explicit"),
        ("conda-linux-64.lock", samples.EXPLICIT, "explicit"),
    ],
)
def test_a_files_name_or_beginning_tells_its_format(
    tmp_path: Path, name: str, text: str, form: str
) -> None:
    assert told(written(tmp_path, name, text)) == form


def test_an_unknown_name_is_refused_with_the_formats_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "things.lock", "")
    with pytest.raises(ConfigError, match="--format with one of environment"):
        told(path)
    with pytest.raises(ConfigError, match="no format 'poetry'"):
        read(path, targets(), form="poetry")


def test_an_environment_is_its_specs_its_channels_and_what_pip_adds(tmp_path: Path) -> None:
    written(tmp_path, "more.txt", "flask\n")
    wanted = read(written(tmp_path, "environment.yml", samples.ENVIRONMENT), targets())
    (environment,) = wanted.items
    assert isinstance(environment, Environment)
    assert environment.specs == ("python=3.12", "numpy >=2,<3", "conda-forge::scipy", "pip")
    assert environment.channels == ("conda-forge", "https://conda.example.org/team")
    assert environment.requirements is not None
    assert [str(one.requirement) for one in environment.requirements.required] == [
        "requests[socks]>=2",
        "flask",
    ]


def test_pylock_gives_each_target_its_wheels_with_extras_and_groups(tmp_path: Path) -> None:
    path = written(tmp_path, "pylock.toml", samples.PYLOCK)
    wanted = read(path, targets())
    assert _names(wanted.items) == [
        "lab_app-1.0-py3-none-any.whl",
        "lab_native-2.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "lab_native-2.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "lab_web-1.0-py3-none-any.whl",
        "lab_test-1.0-py3-none-any.whl",
    ]
    assert [item.what for item in wanted.items if isinstance(item, Beyond)] == ["lab-git"]
    both = _names(read(path, targets("linux-64", "win-64")).items)
    assert {"lab_native-2.0-cp312-cp312-win_amd64.whl", "lab_windows-1.0.tar.gz"} <= {*both}
    assert both.count("lab_app-1.0-py3-none-any.whl") == 1


def test_pylock_keeps_digest_and_address(tmp_path: Path) -> None:
    wanted = read(written(tmp_path, "pylock.toml", samples.PYLOCK), targets())
    first = wanted.items[0]
    assert isinstance(first, LockedPypi)
    assert (first.project, first.sha256) == ("lab-app", "aa")
    assert first.url == "https://files.example.org/a/lab_app-1.0-py3-none-any.whl"


def test_uv_lock_is_walked_from_the_project_with_the_targets_markers(tmp_path: Path) -> None:
    path = written(tmp_path, "uv.lock", samples.UV_LOCK)
    linux = read(path, targets())
    assert sorted(_names(linux.items)) == [
        "lab_core-2.0-py3-none-any.whl",
        "lab_fast-1.0-py3-none-any.whl",
        "lab_native-2.0.tar.gz",
        "lab_test-1.0-py3-none-any.whl",
        "lab_web-1.0-py3-none-any.whl",
    ]
    assert [item.what for item in linux.items if isinstance(item, Beyond)] == ["lab-git"]
    windows = _names(read(path, targets("win-64")).items)
    assert {"lab_native-2.0-cp312-cp312-win_amd64.whl"} <= {*windows}
    assert {"lab_windows-1.0-py3-none-any.whl"} <= {*windows}
    older = _names(read(path, targets(pythons=("3.11",))).items)
    assert "lab_core-1.0-py3-none-any.whl" in older
    assert "lab_core-2.0-py3-none-any.whl" not in older


def test_uv_lock_means_the_version_that_a_dependency_names(tmp_path: Path) -> None:
    text = samples.UV_LOCK
    markers = [line for line in text.splitlines() if line.startswith("resolution-markers")]
    for marker in markers:
        text = text.replace(f"{marker}\n", "")
    names = _names(read(written(tmp_path, "uv.lock", text), targets()).items)
    assert "lab_core-2.0-py3-none-any.whl" in names
    assert "lab_core-1.0-py3-none-any.whl" not in names


def test_conda_lock_gives_the_files_of_the_platforms(tmp_path: Path) -> None:
    path = written(tmp_path, "conda-lock.yml", samples.CONDA_LOCK)
    wanted = read(path, targets())
    assert wanted.items == (
        LockedConda(where=f"{path}: base", url=f"{FORGE}/noarch/base-1.0-0.conda", sha256="aaaa"),
        LockedPypi(
            where=f"{path}: lab-app",
            project="lab-app",
            filename="lab_app-1.0-py3-none-any.whl",
            url="https://files.example.org/a/lab_app-1.0-py3-none-any.whl",
            sha256="bbbb",
        ),
    )
    assert len(read(path, targets(chosen=False)).items) == 3  # all platforms of the lock


def test_pixi_lock_gives_the_files_of_the_platforms(tmp_path: Path) -> None:
    path = written(tmp_path, "pixi.lock", samples.PIXI_LOCK)
    assert _urls(read(path, targets()).items) == [
        f"{FORGE}/noarch/base-1.0-0.conda",
        "https://files.example.org/a/lab_app-1.0-py3-none-any.whl",
    ]
    assert _urls(read(path, targets("win-64")).items) == [f"{FORGE}/win-64/native-1.0-0.conda"]
    everything = read(path, targets(chosen=False)).items
    digests = {getattr(item, "sha256", None) for item in everything}
    assert digests == {"a" * 64, "b" * 64, "c" * 64}


def test_a_pixi_lock_without_digests_is_read(tmp_path: Path) -> None:
    lines = samples.PIXI_LOCK.splitlines(keepends=True)
    bare = "".join(line for line in lines if "sha256:" not in line and "md5:" not in line)
    wanted = read(written(tmp_path, "pixi.lock", bare), targets())
    assert [getattr(item, "sha256", "") for item in wanted.items] == [None, None]


def test_an_explicit_list_keeps_addresses_and_long_digests(tmp_path: Path) -> None:
    wanted = read(written(tmp_path, "spec-file.txt", samples.EXPLICIT), targets())
    assert _urls(wanted.items) == [
        f"{FORGE}/noarch/base-1.0-0.conda",
        f"{FORGE}/linux-64/clib-1.0-0.tar.bz2",
        f"{FORGE}/noarch/web-1.0-0.conda",
    ]
    assert [getattr(item, "sha256", None) for item in wanted.items] == [None, None, "a" * 64]


def test_renv_lock_gives_exact_versions_and_names_what_is_from_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, "renv.lock", samples.RENV)
    assert read(path, targets()).items == (
        LockedR(where=f"{path}: Packages.R6", name="R6", version="2.5.1"),
        LockedR(where=f"{path}: Packages.old", name="old", version="1.0-2"),
        Beyond(where=f"{path}: Packages.mine", what="mine 0.0.1", reason="it comes from GitHub"),
    )


def test_a_list_of_specs_is_one_environment_one_set_and_packages(tmp_path: Path) -> None:
    path = written(tmp_path, "ship.specs", samples.SPECS)
    environment, dplyr, r6, requirements = read(path, targets()).items
    assert isinstance(environment, Environment)
    assert environment.specs == ("python 3.12.*", "numpy >=2")
    assert isinstance(requirements, Requirements)
    assert str(requirements.required[0].requirement) == "requests[socks]>=2"
    assert dplyr == RPackage(where=f"{path}, line 5", spec="dplyr")
    assert r6 == RPackage(where=f"{path}, line 6", spec="R6 (>= 2.5)")


WRONG = [
    ("environment.yml", "dependencies: [", "is not YAML: line 2, column 1"),
    ("environment.yml", "- a", "is a list, not a table"),
    ("environment.yml", "name: x", "has no dependencies"),
    ("environment.yml", "dependencies: [a, 3]", r"dependencies\[1\]: write a spec"),
    ("environment.yml", "dependencies: ['a =>=>']", r"dependencies\[0\]: 'a =>=>' is no spec"),
    (
        "environment.yml",
        "dependencies: [a, {pip: [3]}]",
        r"dependencies\[1\].pip\[0\]: write a req",
    ),
    ("environment.yml", "channels: 3\ndependencies: [a]", "channels: is the number 3, not a list"),
    ("requirements.txt", "ok\n==1\n", "line 2: '==1' is no requirement"),
    ("pylock.toml", "lock-version = 1", "lock-version"),
    ("pylock.toml", 'lock-version = "9.0"\ncreated-by="x"\npackages=[]', "9.0 is not supported"),
    ("pylock.toml", "lock-version = x\n", "is not TOML.*line 1"),
    ("uv.lock", "version = 2", "version: only version 1"),
    ("uv.lock", "version = 1\n[[package]]\nversion='1'", r"package\[0\].name: is missing"),
    (
        "uv.lock",
        'version = 1\nrequires-python=">=3.13"',
        "the project needs >=3.13, so not Python 3",
    ),
    ("conda-lock.yml", "version: 2", "version: only version 1"),
    (
        "conda-lock.yml",
        "version: 1\npackage: [{platform: linux-64}]",
        r"package\[0\].name: is miss",
    ),
    ("pixi.lock", "version: 6\nenvironments: 3", "is no lock of pixi's"),
    ("renv.lock", "{", "is not JSON"),
    ("renv.lock", "{}", "Packages: is missing"),
    (
        "renv.lock",
        '{"Packages": {"a": {"Package": "a/b", "Version": "1"}}}',
        "a/b 1: .* is no name",
    ),
    ("ship.specs", "numpy", "line 1: 'numpy': write conda:, pypi: or cran:"),
    ("ship.specs", "cran: a b", "line 1: 'a b' is no name"),
    ("conda-linux-64.lock", "@EXPLICIT\nnumpy", "line 2: 'numpy' is no address"),
    ("conda-linux-64.lock", "@EXPLICIT\nhttps://[/x.conda", "is no address: Invalid IPv6"),
    ("conda-linux-64.lock", "@EXPLICIT\nhttps://x.example.org/", "is not the address of a file"),
]


@pytest.mark.parametrize(("name", "text", "problem"), WRONG)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError, match=problem) as caught:
        read(path, targets())
    assert str(caught.value).startswith(str(path))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read(tmp_path / "uv.lock", targets())
    (tmp_path / "pixi.lock").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text in UTF-8"):
        read(tmp_path / "pixi.lock", targets())


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "rubbish", ["", "\x00", "[", "{}", "- - -", "a: b: c", "version: 1", "[a]\n"]
)
def test_rubbish_is_read_or_refused_in_our_words(tmp_path: Path, form: str, rubbish: str) -> None:
    path = written(tmp_path, "rubbish", rubbish)
    with contextlib.suppress(ConfigError):
        read(path, targets(), form=form)
