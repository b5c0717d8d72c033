"""Planning: what is wanted of what is listed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.active import Scope
from proxy.mirror.plan import Offer, oversize, planned, policy_of

OFFERS = st.lists(
    st.builds(
        Offer,
        row=st.uuids().map(str),
        name=st.sampled_from("abc"),
        version=st.integers(0, 9).map(str),
        size=st.none() | st.integers(0, 1000),
        denied=st.sampled_from([None, None, ("rule", "reason")]),
        beyond=st.sampled_from([None, None, ("specs", "reason")]),
    ),
    max_size=40,
)
SIZES = st.lists(st.tuples(st.uuids().map(str), st.none() | st.integers(0, 100)), max_size=40)


def _newest_first(versions: object) -> list[str]:
    return sorted(versions, key=int, reverse=True)  # type: ignore[call-overload, no-any-return]


@given(OFFERS, st.none() | st.integers(1, 5))
def test_everything_is_either_wanted_or_left_out_for_one_reason(
    offers: list[Offer], newest: int | None
) -> None:
    plan = list(planned(offers, newest, _newest_first))
    assert [one.offer for one in plan] == offers
    for one in plan:
        if one.is_wanted:
            assert (one.offer.denied, one.offer.beyond) == (None, None)
        elif one.offer.denied is None:
            assert one.beyond is not None
            assert one.beyond[0] in ("specs", "newest")


@given(OFFERS, st.integers(1, 5))
def test_of_each_package_the_newest_allowed_versions_are_wanted(
    offers: list[Offer], newest: int
) -> None:
    plan = list(planned(offers, newest, _newest_first))
    for name in "abc":
        eligible = {
            int(one.version)
            for one in offers
            if one.name == name and one.denied is None and one.beyond is None
        }
        wanted = {
            int(one.offer.version) for one in plan if one.is_wanted and one.offer.name == name
        }
        assert wanted == set(sorted(eligible, reverse=True)[:newest])


def test_what_the_policy_hides_takes_no_place_among_the_newest() -> None:
    old = Offer(row="old", name="a", version="1")
    new = Offer(row="new", name="a", version="2", denied=("rule", "reason"))
    plan = {one.offer.row: one.is_wanted for one in planned([new, old], 1, _newest_first)}
    assert plan == {"new": False, "old": True}


@given(SIZES, st.integers(0, 500))
def test_what_is_kept_fits(sizes: list[tuple[str, int | None]], limit: int) -> None:
    out = set(oversize(sizes, limit))
    assert sum(size or 0 for path, size in sizes if path not in out) <= limit
    assert all(size is not None for path, size in sizes if path in out)


@given(SIZES)
def test_a_limit_that_holds_all_leaves_out_nothing(sizes: list[tuple[str, int | None]]) -> None:
    assert not list(oversize(sizes, sum(size or 0 for _, size in sizes)))


def test_a_scope_of_everything_has_no_rules() -> None:
    assert policy_of(Scope(), "conda").rules == ()


def test_platforms_are_a_rule_only_where_one_index_lists_several() -> None:
    scope = Scope(platforms=("linux-64",))
    assert policy_of(scope, "conda").rules == ()
    assert [rule.name for rule in policy_of(scope, "pypi").rules] == ["platforms"]
