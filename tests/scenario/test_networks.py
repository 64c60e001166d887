"""Bad networks: whatever a link does, clips arrive once and whole, and nothing is sent for nothing.

Bytes are counted where they leave the camera: at the proxy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.scenario.fault_proxy import FaultProxy, Manner
from tests.scenario.net_rig import CONNECT_BYTES, NetCamera, NetRig, wait_for, watch_for
from tests.scenario.uplink_here import UplinkHere

pytestmark = pytest.mark.scenario

PART_BYTES = 32 * 1024
WINDOW_BYTES = 128 * 1024
HEADERS = 1.03  # TLS records, MQTT headers, custom properties
DEVICES = ("cam01", "cam02", "cam03", "cam04")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetRig]:
    made = NetRig(tmp_path_factory.mktemp("networks"), [*DEVICES, "cam05", "cam06", "cam07"])
    with made.running():
        yield made


@pytest.fixture
def proxy(rig: NetRig) -> Iterator[FaultProxy]:
    with FaultProxy(target_port=rig.fleet.port) as made:
        yield made


def test_resets_in_mid_transfer_cost_the_window_in_flight_each_and_no_more(
    rig: NetRig, proxy: FaultProxy
) -> None:
    camera = NetCamera(rig, "cam01", proxy, part_bytes=PART_BYTES, window_cap_bytes=WINDOW_BYTES)
    for _ in range(2):
        camera.put_clip(fragments=4, fragment_bytes=300_000)
    proxy.latency_s = 0.02
    proxy.reset_after_bytes = 500_000
    with camera.running():
        wait_for(camera.is_sent, "both clips through a link that breaks again and again")
        assert camera.all_is_well()
    assert proxy.resets >= 4
    lost_most = WINDOW_BYTES + 2 * camera.open_bytes + CONNECT_BYTES
    least = camera.clip_bytes * HEADERS + CONNECT_BYTES
    print(
        f"{proxy.resets} resets: {proxy.bytes_up - camera.clip_bytes} bytes beyond the clips', "
        f"at most {lost_most} each are allowed"
    )
    assert proxy.bytes_up <= least + proxy.resets * lost_most


def test_64_kbit_link_carries_a_clip_without_sending_a_part_twice(
    rig: NetRig, proxy: FaultProxy
) -> None:
    """With the settings' own part size, which would take 33 s there."""
    camera = NetCamera(rig, "cam02", proxy)
    camera.put_clip(fragments=2, fragment_bytes=25_000)
    proxy.bits_per_s = 64_000
    with camera.running():
        took_s = wait_for(camera.is_sent, "a clip over 64 kbit/s")
        assert camera.all_is_well()
    print(f"{camera.clip_bytes} bytes in {took_s:.1f} s, {proxy.bytes_up} at the proxy")
    # A second Open asks for smaller parts.
    assert proxy.bytes_up <= (camera.clip_bytes + camera.open_bytes) * HEADERS + CONNECT_BYTES
    assert len(proxy.accepted_s) == 1


def test_one_way_stalls_are_waited_out_without_sending_again_and_without_spinning(
    rig: NetRig, proxy: FaultProxy
) -> None:
    camera = NetCamera(rig, "cam03", proxy, part_bytes=PART_BYTES, window_cap_bytes=WINDOW_BYTES)
    camera.put_clip(fragments=4, fragment_bytes=400_000)
    proxy.bits_per_s = 6_000_000
    with camera.running():
        for way in ("stall_up", "stall_down"):
            passed = proxy.bytes_up
            wait_for(lambda: proxy.bytes_up > passed + 300_000, "the transfer to go on")  # noqa: B023
            setattr(proxy, way, True)
            cpu_s = camera.cpu_s()
            watch_for(2.0)
            assert camera.cpu_s() - cpu_s < 0.5
            setattr(proxy, way, False)
        wait_for(camera.is_sent, "the clip after two stalls")
        assert camera.all_is_well()
    assert proxy.bytes_up <= camera.clip_bytes * HEADERS + CONNECT_BYTES
    assert len(proxy.accepted_s) == 1


def test_portals_and_dead_ends_are_tried_with_growing_pauses_and_left_without_loss(
    rig: NetRig,
) -> None:
    """Three cameras at a time: a hotel's login page, a stranger's TLS, silence after accept."""
    words = {"http": "is this the broker's TLS port", "foreign": "certificate is not trusted"}
    manners: dict[str, Manner] = {"cam05": "http", "cam06": "foreign", "cam07": "silent"}
    with ExitStack() as stack:
        cameras: dict[str, tuple[NetCamera, FaultProxy]] = {}
        for device_id, manner in manners.items():
            proxy = stack.enter_context(
                FaultProxy(target_port=rig.fleet.port, foreign=rig.foreign_tls())
            )
            proxy.manner = manner
            camera = NetCamera(rig, device_id, proxy, keepalive_s=5)
            camera.put_clip(fragments=2, fragment_bytes=100_000)
            stack.enter_context(camera.running())
            cameras[device_id] = camera, proxy
        for _camera, proxy in cameras.values():
            wait_for(lambda: len(proxy.accepted_s) >= 1, "the first attempt")  # noqa: B023
        before = {device_id: camera.cpu_s() for device_id, (camera, _) in cameras.items()}
        watch_for(4.0)
        for device_id, (camera, proxy) in cameras.items():
            assert camera.cpu_s() - before[device_id] < 1.0
            assert 1 <= len(proxy.accepted_s) <= 6
            pauses = [b - a for a, b in zip(proxy.accepted_s, proxy.accepted_s[1:], strict=False)]
            assert all(pause >= 0.45 for pause in pauses)
            assert camera.spool.clips("sent") == []
            said = camera.log_file.read_text()
            assert words.get(manners[device_id], "") in said
            assert "Traceback" not in said
            proxy.heal()
            proxy.reset()
        for camera, _proxy in cameras.values():
            wait_for(camera.is_sent, "the clip once the network is what it should be")
            assert camera.all_is_well()


def test_transfer_stops_within_a_second_when_the_link_turns_metered(
    rig: NetRig, proxy: FaultProxy
) -> None:
    """What is in the kernel's and in the client's queue does not go out either."""
    camera = NetCamera(rig, "cam04", proxy)
    camera.put_clip(fragments=2, fragment_bytes=200_000)
    proxy.bits_per_s = 1_000_000
    with UplinkHere(camera.settings) as uplink:
        wait_for(lambda: proxy.bytes_up > 100_000, "the transfer to be on its way")
        uplink.surroundings.change(interface="wwan0", is_metered=True)
        turned_s, turned_bytes = time.monotonic(), proxy.bytes_up
        wait_for(lambda: time.monotonic() > turned_s + 1.0, "a second to pass")
        stopped_bytes = proxy.bytes_up
        assert stopped_bytes - turned_bytes <= 125_000 + 16 * 1024 + CONNECT_BYTES
        wait_for(lambda: len(proxy.accepted_s) == 2, "the status to be sent again")
        watch_for(1.0)
        assert proxy.bytes_up - stopped_bytes <= 2 * CONNECT_BYTES
        assert camera.spool.clips("sent") == []
        uplink.surroundings.change(interface="wlan0", is_metered=False)
        wait_for(camera.is_sent, "the rest of the clip")
    assert camera.all_is_well()
    assert proxy.bytes_up <= camera.clip_bytes * HEADERS + 256 * 1024 + 3 * CONNECT_BYTES
