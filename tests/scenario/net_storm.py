"""Minutes of every network fault in turn, by chance, on three cameras: `make storm`.

Not part of `make test`. The seed is printed; STORM_SEED repeats it, STORM_S sets how long it blows.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenario.fault_proxy import FaultProxy
from tests.scenario.net_rig import NetCamera, NetRig, wait_for, watch_for

pytestmark = pytest.mark.scenario

STORM_S = float(os.environ.get("STORM_S", "120"))
SEED = int(os.environ.get("STORM_SEED", str(random.randrange(1 << 30))))
CLIPS, FRAGMENTS, FRAGMENT_BYTES = 12, 6, 400_000
WINDOW_BYTES = 512 * 1024
FAIR_BITS_PER_S = 4_000_000  # the clips take a minute at best, so that all of them meet the storm


def change_the_weather(proxy: FaultProxy, rng: random.Random) -> bool:
    """One more fault, or a healing. True when it ends the connections."""
    kind = rng.choice(["heal", "thin", "far", "up", "down", "break", "silent", "http", "foreign"])
    proxy.heal()
    proxy.bits_per_s = FAIR_BITS_PER_S
    if kind == "thin":
        proxy.bits_per_s = rng.choice([64_000, 500_000])
    elif kind == "far":
        proxy.latency_s = rng.uniform(0.01, 0.6)
    elif kind in ("up", "down"):
        setattr(proxy, f"stall_{kind}", True)
    elif kind == "break":
        proxy.reset_after_bytes = rng.randrange(10_000, 1_000_000)
    elif kind != "heal":
        proxy.manner = kind  # type: ignore[assignment]
    ends = kind in ("silent", "http", "foreign") or rng.random() < 0.3
    if ends:
        proxy.reset()
    return ends


def test_all_clips_arrive_once_the_storm_is_over(tmp_path: Path) -> None:
    print(f"\nSTORM_SEED={SEED} STORM_S={STORM_S:g}")
    rng = random.Random(SEED)
    rig = NetRig(tmp_path, ["cam01", "cam02", "cam03"])
    ended = dict.fromkeys(("cam01", "cam02", "cam03"), 0)
    with rig.running(), ExitStack() as stack:
        cameras: dict[str, tuple[NetCamera, FaultProxy]] = {}
        for device_id in ended:
            proxy = stack.enter_context(
                FaultProxy(target_port=rig.fleet.port, foreign=rig.foreign_tls())
            )
            camera = NetCamera(rig, device_id, proxy, keepalive_s=5, window_cap_bytes=WINDOW_BYTES)
            for _ in range(CLIPS):
                camera.put_clip(fragments=FRAGMENTS, fragment_bytes=FRAGMENT_BYTES)
            proxy.bits_per_s = FAIR_BITS_PER_S
            stack.enter_context(camera.running())
            cameras[device_id] = camera, proxy
        end_s = time.monotonic() + STORM_S
        while time.monotonic() < end_s:
            device_id = rng.choice(list(cameras))
            ended[device_id] += change_the_weather(cameras[device_id][1], rng)
            watch_for(rng.uniform(0.2, 4.0))
        for _camera, proxy in cameras.values():
            proxy.heal()
        for device_id, (camera, proxy) in cameras.items():
            took_s = wait_for(camera.is_sent, f"the clips of {device_id}", timeout_s=120)
            connections = len(proxy.accepted_s)
            beyond = proxy.bytes_up - camera.clip_bytes
            print(
                f"{device_id}: {connections} connections, {beyond} of {proxy.bytes_up} bytes beyond"
                f" the clips', {camera.cpu_s():.1f} s of processor, done {took_s:.0f} s after"
            )
            assert camera.all_is_well()
            assert "Traceback" not in camera.log_file.read_text()
            lost_most = WINDOW_BYTES + 8 * camera.open_bytes + 20_000
            assert beyond <= 0.05 * camera.clip_bytes + connections * lost_most
            assert camera.cpu_s() < 0.1 * STORM_S + 10
