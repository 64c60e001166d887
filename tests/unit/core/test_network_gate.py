from __future__ import annotations

import pytest

from agent.core.network_gate import GateRules, Surroundings, metered, quiet_minutes, why_wait

HOME = Surroundings(interface="wlan0", is_metered=False, is_charging=True)


def at(hours: int, minutes: int) -> int:
    return hours * 60 + minutes


def test_no_rules_let_everything_through() -> None:
    nowhere = Surroundings(interface="", is_metered=False, is_charging=None)
    assert why_wait(GateRules(), nowhere, None) == ""
    assert why_wait(GateRules(), HOME, at(3, 0)) == ""


@pytest.mark.parametrize(
    ("interface", "why"),
    [
        ("wlan0", ""),
        ("eth0", ""),
        ("wwan0", "link wwan0 not allowed"),
        ("eth01", "link eth01 not allowed"),
        ("", "no known link to the broker"),
    ],
)
def test_only_allowed_interfaces_pass(interface: str, why: str) -> None:
    rules = GateRules(interfaces=("wlan*", "eth0"))
    now = Surroundings(interface=interface, is_metered=False)
    assert why_wait(rules, now, None) == why


@pytest.mark.parametrize(
    ("is_metered", "why"),
    [
        (True, "link wlan0 metered"),
        (None, "not known whether the link is metered"),
        (False, ""),
    ],
)
def test_metered_link_waits_unless_it_is_allowed(is_metered: bool | None, why: str) -> None:
    now = Surroundings(interface="wlan0", is_metered=is_metered)
    assert why_wait(GateRules(), now, None) == why
    assert why_wait(GateRules(allow_metered=True), now, None) == ""


@pytest.mark.parametrize(
    ("is_charging", "why"),
    [(True, ""), (False, "not charging"), (None, "not known to be charging")],
)
def test_charging_is_waited_for_when_told(is_charging: bool | None, why: str) -> None:
    now = Surroundings(interface="wlan0", is_metered=False, is_charging=is_charging)
    assert why_wait(GateRules(only_when_charging=True), now, None) == why


@pytest.mark.parametrize(
    ("minute", "waits"),
    [
        (at(21, 59), False),
        (at(22, 0), True),
        (at(23, 59), True),
        (at(0, 0), True),
        (at(5, 59), True),
        (at(6, 0), False),
        (at(12, 0), False),
        (None, False),  # a clock that nobody trusts keeps no hours
    ],
)
def test_quiet_hours_over_midnight(minute: int | None, waits: bool) -> None:
    rules = GateRules(quiet_minutes=quiet_minutes("22:00-06:00"))
    assert why_wait(rules, HOME, minute) == ("quiet hours until 06:00" if waits else "")


def test_quiet_hours_within_a_day() -> None:
    rules = GateRules(quiet_minutes=quiet_minutes("08:30-17:00"))
    found = [why_wait(rules, HOME, minute) != "" for minute in (509, 510, 1019, 1020)]
    assert found == [False, True, True, False]


@pytest.mark.parametrize(
    "text", ["8:00-9:00", "24:00-06:00", "22:00", "22:00-22:00", "22:60-06:00", " 22:00-06:00"]
)
def test_what_is_no_pair_of_times_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM-HH:MM"):
        quiet_minutes(text)


def test_list_of_metered_interfaces_decides_and_an_unknown_one_stays_unknown() -> None:
    assert metered("wwan0", ("wwan*", "usb0")) is True
    assert metered("wlan0", ("wwan*", "usb0")) is False
    assert metered("", ("wwan*",)) is None
    assert metered("", ()) is False
