"""What pip's rules choose, on an index without a network."""

from __future__ import annotations

import asyncio

import pytest
from packaging.requirements import Requirement

from proxy.errors import Blocked, UpstreamFailed
from proxy.mirror.wanted.pypi_index import PypiIndex
from proxy.mirror.wanted.resolving import Unresolved, resolve
from proxy.mirror.wanted.targets import Target
from proxy.mirror.wanted.values import Required, Requirements
from tests.mirror.wanted.fake_server import FILES, PYPI, SIMPLE, FakeServer, sources, wheel
from tests.mirror.wanted.samples import LINUX, WINDOWS


def _set(*texts: str, constraints: tuple[str, ...] = (), **options: object) -> Requirements:
    def required(listed: tuple[str, ...]) -> tuple[Required, ...]:
        return tuple(Required(where="r.txt", requirement=Requirement(it)) for it in listed)

    return Requirements(
        where="r.txt",
        required=required(texts),
        constraints=required(constraints),
        prereleases=bool(options.get("prereleases")),
        only_wheels=frozenset(options.get("only_wheels", ())),  # type: ignore[call-overload]
    )


def _resolved(server: FakeServer, wanted: Requirements, target: Target = LINUX) -> list[str]:
    async def main() -> list[str]:
        index = PypiIndex(server, PYPI.url)
        try:
            found = await resolve(wanted, index, target)
        finally:
            await index.aclose()
        return sorted(file.filename for offer in found for file in offer.files)

    return asyncio.run(main())


def _short(names: list[str]) -> list[str]:
    return [name.removesuffix("-py3-none-any.whl") for name in names]


def _index() -> FakeServer:
    server = FakeServer()
    server.project(
        "app",
        wheel("app-1.0", "core"),
        wheel("app-2.0", "core>=2", "web; extra == 'web'", "winapi; sys_platform == 'win32'"),
    )
    server.project("core", wheel("core-1.0"), wheel("core-2.0"), wheel("core-2.1", yanked="bad"))
    server.project("web", wheel("web-1.0", "core<2"), wheel("web-0.9", "core"))
    server.project("winapi", wheel("winapi-1.0"))
    server.project("pre", wheel("pre-1.0"), wheel("pre-2.0rc1"))
    server.project("only-pre", wheel("only_pre-1.0b1"))
    return server


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["app"], ["app-2.0", "core-2.0"]),
        (["app<2"], ["app-1.0", "core-2.0"]),
        (["app", "core<2"], ["app-1.0", "core-1.0"]),
        (["app[web]"], ["app-2.0", "core-2.0", "web-0.9"]),
        (["App[WEB]", "web>=1"], ["app-1.0", "core-1.0", "web-1.0"]),
        (["core==2.1"], ["core-2.1"]),
        (["core>2"], None),
        (["pre"], ["pre-1.0"]),
        (["pre>=2.0rc1"], ["pre-2.0rc1"]),
        (["only-pre"], ["only_pre-1.0b1"]),
        (["app; sys_platform == 'win32'", "core"], ["core-2.0"]),
        (["app[unknown]"], ["app-2.0", "core-2.0"]),
    ],
)
def test_the_newest_that_fits_is_chosen(texts: list[str], expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(Unresolved):
            _resolved(_index(), _set(*texts))
    else:
        assert _short(_resolved(_index(), _set(*texts))) == expected


def test_markers_are_those_of_the_target() -> None:
    assert _short(_resolved(_index(), _set("app"), WINDOWS)) == [
        "app-2.0",
        "core-2.0",
        "winapi-1.0",
    ]


def test_constraints_limit_without_asking() -> None:
    wanted = _set("app", constraints=("core<2", "winapi==9"))
    assert _short(_resolved(_index(), wanted)) == ["app-1.0", "core-1.0"]


def test_prereleases_count_where_they_are_asked_for() -> None:
    assert _short(_resolved(_index(), _set("pre", prereleases=True))) == ["pre-2.0rc1"]


def test_prereleases_count_where_no_release_can_be_installed() -> None:
    server = FakeServer()
    server.project(
        "app",
        wheel("app-1.0", tag="cp39-cp39-win32"),
        wheel("app-2.0", yanked="bad"),
        wheel("app-3.0b1"),
        wheel("app-3.0b2", yanked="bad"),
    )
    assert _short(_resolved(server, _set("app"))) == ["app-3.0b1"]


def test_digests_limit_the_files_of_a_requirement_and_of_its_extras() -> None:
    server = _index()
    digest = wheel("app-1.0", "core").sha256
    one = Required(
        where="r.txt", requirement=Requirement("app[web]"), hashes=frozenset({f"sha256:{digest}"})
    )
    wanted = Requirements(where="r.txt", required=(one,))
    assert _short(_resolved(server, wanted)) == ["app-1.0", "core-2.0"]


def test_the_digest_of_a_file_with_extras_is_that_of_the_file_without() -> None:
    server = FakeServer()
    native = "cp312-cp312-manylinux_2_28_x86_64"
    server.project("app", wheel("app-1.0"), wheel("app-1.0", tag=native))
    digest = wheel("app-1.0").sha256
    one = Required(
        where="r.txt", requirement=Requirement("app[x]"), hashes=frozenset({f"sha256:{digest}"})
    )
    wanted = Requirements(where="r.txt", required=(one,))
    assert _resolved(server, wanted) == ["app-1.0-py3-none-any.whl"]


def test_yanked_files_of_a_version_give_way_to_its_others() -> None:
    server = FakeServer()
    native = "cp312-cp312-manylinux_2_28_x86_64"
    server.project("app", wheel("app-1.0", tag=native, yanked="broken"), wheel("app-1.0"))
    assert _resolved(server, _set("app")) == ["app-1.0-py3-none-any.whl"]


def test_wheels_for_machines_of_several_ages_are_kept() -> None:
    server = FakeServer()
    tags = ("manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "win_amd64", "musllinux_1_2_x86_64")
    server.project("native", *(wheel("native-1.0", tag=f"cp312-cp312-{tag}") for tag in tags))
    assert _resolved(server, _set("native")) == [
        "native-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "native-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    ]
    assert _resolved(server, _set("native"), WINDOWS) == ["native-1.0-cp312-cp312-win_amd64.whl"]


def test_a_version_for_another_python_is_not_chosen() -> None:
    server = FakeServer()
    server.project(
        "app",
        wheel("app-1.0", requires_python=">=3.8"),
        wheel("app-2.0", requires_python=">=3.13"),
        wheel("app-0.9", requires_python="what?"),
    )
    assert _short(_resolved(server, _set("app"))) == ["app-1.0"]


def test_sources_are_chosen_where_no_wheel_fits_and_bring_their_dependencies() -> None:
    server = _index()
    server.project(
        "built", sources("built-1.0", "core<2"), wheel("built-1.0", tag="cp39-cp39-win32")
    )
    assert _resolved(server, _set("built")) == ["built-1.0.tar.gz", "core-1.0-py3-none-any.whl"]
    with pytest.raises(Unresolved, match=r"no file of it for Python 3\.12 on linux-64"):
        _resolved(server, _set("built", only_wheels=(":all:",)))
    with pytest.raises(Unresolved):
        _resolved(server, _set("built", only_wheels=("Built",)))


def test_a_version_whose_metadata_cannot_be_had_is_passed_over() -> None:
    server = _index()
    name = f"{FILES}app-2.0-py3-none-any.whl.metadata"
    server.failing[name] = UpstreamFailed("broken")
    assert _short(_resolved(server, _set("app"))) == ["app-1.0", "core-2.0"]
    with pytest.raises(Unresolved, match=r"app 2\.0 itself: broken"):
        _resolved(server, _set("app==2"))


@pytest.mark.parametrize(
    ("requires", "problem"),
    [
        ("core @ https://files.example.org/core-1.0.zip", "named by its address https://files"),
        ("core ==", "which cannot be read"),
    ],
)
def test_a_version_whose_dependencies_no_mirror_has_is_passed_over(
    requires: str, problem: str
) -> None:
    server = _index()
    server.project("odd", wheel("odd-2.0", requires), wheel("odd-1.0"))
    assert _short(_resolved(server, _set("odd"))) == ["odd-1.0"]
    with pytest.raises(Unresolved, match=problem):
        _resolved(server, _set("odd==2"))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (
            ("app==2", "core<2"),
            ("r.txt needs core<2", "app 2.0 needs core>=2", "the mirror has 2.1"),
        ),
        (("nothing",), ("r.txt needs nothing", "there is no", "simple/nothing/")),
        (("core==7",), ("r.txt needs core==7", "core: the mirror has 2.1, 2.0, 1.0")),
    ],
)
def test_what_is_at_odds_is_told(texts: tuple[str, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(Unresolved) as caught:
        _resolved(_index(), _set(*texts))
    for word in words:
        assert word in str(caught.value)


def test_a_refusal_by_policy_is_told_with_its_rule() -> None:
    server = _index()
    server.failing[f"{SIMPLE}core/"] = Blocked("core", rule="no-core", reason="it is old")
    with pytest.raises(Unresolved, match="core is refused by rule no-core: it is old"):
        _resolved(server, _set("core"))


def test_each_page_and_each_metadata_is_asked_for_once() -> None:
    server = _index()
    _resolved(server, _set("app[web]", "web", "core"))
    assert len(server.asked) == len(set(server.asked))


def test_all_that_is_named_is_asked_for_before_it_is_waited_for() -> None:
    server = _index()
    _resolved(server, _set("app", "core", "web", "pre"))
    first = server.asked[:4]
    assert first == [f"{SIMPLE}{name}/" for name in ("app", "core", "web", "pre")]
