from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from agent.drivers.power_fake import FakePower
from agent.drivers.surroundings_linux import Address, LinuxSurroundings, resolve
from agent.ports.power import PowerReading

# As Linux 6.1 prints them: default routes over wlan0 (metric 600) and wwan0 (700), the wired
# network 192.168.7.0/24, a tunnel to 10.0.0.0/8 of which 10.9.0.0/16 is cut out, one route down.
ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wwan0\t00000000\t0102A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t0007A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t50\t000000FF\t0\t0\t0
*\t0000090A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0
eth9\t0008A8C0\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTE6 = """\
20010db8000000070000000000000000 40 00000000000000000000000000000000 00 \
00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
fe800000000000000000000000000001 00000400 00000002 00000000 00000003    wwan0
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "route").write_text(ROUTE)
    (tmp_path / "net" / "ipv6_route").write_text(ROUTE6)
    return tmp_path


def interface(proc: Path, *addresses: str) -> str:
    found: list[Address] = [ipaddress.ip_address(each) for each in addresses]
    sensor = LinuxSurroundings("broker.example", (), proc=proc, resolve=lambda _host: found)
    sensor.settle(10)
    return sensor.read().interface


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9", "wlan0"),  # the default route with the lower metric
        ("192.168.7.20", "eth0"),
        ("192.168.8.20", "wlan0"),  # that route is down
        ("10.1.2.3", "tun0"),
        ("127.0.0.1", "lo"),
        ("::1", "lo"),
        ("2001:db8:0:7::5", "eth0"),
        ("2001:db8:0:8::5", "wwan0"),
    ],
)
def test_longest_prefix_then_lowest_metric_leads_to_the_broker(
    proc: Path, address: str, expected: str
) -> None:
    assert interface(proc, address) == expected


def test_default_route_stands_for_a_name_that_is_not_known_yet(proc: Path) -> None:
    assert interface(proc) == "wlan0"


def test_without_a_way_there_is_no_interface(proc: Path) -> None:
    (proc / "net" / "route").write_text(ROUTE.splitlines()[0])
    assert interface(proc, "203.0.113.9") == ""
    assert interface(proc, "203.0.113.9", "2001:db8:0:7::5") == "eth0"


def test_metered_is_what_the_admin_lists(proc: Path) -> None:
    listed = LinuxSurroundings("broker.example", ("wl*",), proc=proc, resolve=lambda _host: [])
    assert listed.read().is_metered is True
    (proc / "net" / "route").write_text("")
    (proc / "net" / "ipv6_route").write_text("")
    assert listed.read().is_metered is None


def test_name_is_looked_up_again_after_a_minute_and_the_last_answer_outlives_a_failure(
    proc: Path,
) -> None:
    answers: list[list[Address]] = [[ipaddress.ip_address("192.168.7.20")], []]
    asked: list[str] = []
    now_s = [0.0]

    def answer(host: str) -> list[Address]:
        asked.append(host)
        return answers[len(asked) - 1]

    sensor = LinuxSurroundings("b", (), proc=proc, resolve=answer, now_s=lambda: now_s[0])
    for now_s[0] in (0.0, 59.0, 61.0):
        sensor.settle(10)
        assert sensor.read().interface == "eth0"
    assert asked == ["b", "b"]


def test_addresses_are_taken_as_they_are_and_bad_names_have_none() -> None:
    assert resolve("127.0.0.1") == [ipaddress.ip_address("127.0.0.1")]
    assert resolve("x" * 300) == []


@pytest.mark.parametrize("on_mains", [True, False, None])
def test_external_power_is_what_the_supply_says(proc: Path, on_mains: bool | None) -> None:
    power = FakePower(PowerReading(on_mains=on_mains))
    sensor = LinuxSurroundings("b", (), power=power, proc=proc, resolve=lambda _host: [])
    assert sensor.read().is_charging is on_mains


def test_without_a_supply_power_is_not_known(proc: Path) -> None:
    sensor = LinuxSurroundings("b", (), proc=proc, resolve=lambda _host: [])
    assert sensor.read().is_charging is None
