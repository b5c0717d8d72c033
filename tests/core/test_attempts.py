"""Guessing is slowed down, address by address, and nobody else is held up by it."""

from __future__ import annotations

import pytest

from proxy.core.attempts import Attempts


def test_so_many_failures_are_allowed_in_a_minute_and_then_they_refill() -> None:
    attempts = Attempts(3)
    for _ in range(3):
        assert attempts.wait("10.0.0.1", "wrong", 0.0) == 0
        attempts.failed("10.0.0.1", 0.0)
    assert attempts.wait("10.0.0.1", "wrong", 0.0) == pytest.approx(20)
    assert attempts.wait("10.0.0.1", "wrong", 19.0) == pytest.approx(1)
    assert attempts.wait("10.0.0.1", "wrong", 20.0) == 0
    attempts.failed("10.0.0.1", 20.0)
    assert attempts.wait("10.0.0.1", "wrong", 20.0) > 0
    for _ in range(3):
        assert attempts.wait("10.0.0.1", "wrong", 500.0) == 0
        attempts.failed("10.0.0.1", 500.0)
    assert attempts.wait("10.0.0.1", "wrong", 500.0) > 0, "a budget does not grow beyond its limit"


def test_other_addresses_are_not_held_up() -> None:
    attempts = Attempts(1)
    attempts.failed("10.0.0.1", 0.0)
    assert attempts.wait("10.0.0.1", "x", 0.0) > 0
    assert attempts.wait("10.0.0.2", "x", 0.0) == 0


def test_what_was_accepted_from_an_address_stays_so() -> None:
    attempts = Attempts(1)
    attempts.succeeded("10.0.0.1", "right")
    attempts.failed("10.0.0.1", 0.0)
    assert attempts.wait("10.0.0.1", "right", 0.0) == 0
    assert attempts.wait("10.0.0.1", "guess", 0.0) > 0
    assert attempts.wait("10.0.0.2", "right", 0.0) == 0
    attempts.failed("10.0.0.2", 0.0)
    assert attempts.wait("10.0.0.2", "right", 0.0) > 0, "accepted from the other one only"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("not:an:address", "not:an:other", False),
    ],
)
def test_an_ipv6_client_is_its_network(one: str, other: str, alike: bool) -> None:
    attempts = Attempts(1)
    attempts.failed(one, 0.0)
    assert (attempts.wait(other, "x", 0.0) > 0) is alike


def test_memory_is_bounded() -> None:
    attempts = Attempts(1, remembered=10)
    for number in range(1000):
        attempts.failed(f"10.0.0.{number}", 0.0)
        attempts.succeeded(f"10.0.0.{number}", "right")
    assert repr(attempts) == "<Attempts 10 addresses, 10 accepted>"
    assert attempts.wait("10.0.0.999", "wrong", 0.0) > 0


def test_a_clock_that_is_set_back_forgives_nothing_and_breaks_nothing() -> None:
    attempts = Attempts(1)
    attempts.failed("10.0.0.1", 1000.0)
    assert attempts.wait("10.0.0.1", "x", 0.0) == pytest.approx(60)
