"""Recorder, camera and encoder."""

from __future__ import annotations

import time

import numpy as np

from agent import parts
from agent.core.lens import LensLook, LensWatch, look_at
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.drivers.clock_system import SystemClock
from agent.ports.camera import Camera, CameraLost, LoresFrame, RawFrame

_LORES_RATE_HZ = 5.0
_LOOKS = 5
_LOOK_FOR_S = 10.0
_ENCODED_FRAMES = 20
_LENS = {
    "covered": "take off the cap, or let some light in",
    "blurred": "wipe the lens, or focus it",
}


def check_recorder(visit: Visit) -> Finding:
    status = visit.status
    if status is None:
        return warn(
            "recorder",
            f"not running (no answer in {visit.settings.paths.runtime_dir})",
            "start it: `sightline-agent run`",
        )
    if status.faults:
        fact = f"{status.state}, at fault: {'; '.join(status.faults)}"
        return bad("recorder", fact, "mend what the fault names")
    fact = f"{status.state}, pre-roll {status.pre_roll_ready_s:.0f} s, tagger {status.tagger}"
    return good("recorder", f"{fact}, {status.preflight}" if status.preflight else fact)


def check_camera(visit: Visit) -> Finding:
    """A camera that the recorder does not hold is opened and some of its pictures looked at."""
    if visit.status is not None:
        count = visit.status.frames_captured
        fact = f"{count} frames since the recorder began"
        return good("camera", fact) if count else bad("camera", fact, "see the recorder's faults")
    camera = parts.build_camera(visit.settings, SystemClock(), lores_rate_hz=_LORES_RATE_HZ)
    info = camera.open()
    try:
        began_s = time.monotonic()
        looks = _look(camera, began_s + _LOOK_FOR_S)
    finally:
        camera.close()
    fact = f"{info.source}, {info.width}x{info.height} at {info.frame_rate_hz:g} Hz, {info.encoder}"
    if not looks:
        remedy = "check its cable and what the kernel says of it (dmesg)"
        return bad("camera", f"{fact}: no picture in {_LOOK_FOR_S:.0f} s", remedy)
    watch = LensWatch()
    for look in looks:
        watch.add(look)
    if watch.lens in _LENS:
        return warn("camera", f"{fact}, lens {watch.lens}", _LENS[watch.lens])
    return good("camera", f"{fact}, lens {watch.lens}")


def _look(camera: Camera, until_s: float) -> list[LensLook]:
    looks: list[LensLook] = []
    while len(looks) < _LOOKS and (left_s := until_s - time.monotonic()) > 0:
        item = camera.read(min(left_s, 0.5))
        if isinstance(item, CameraLost):
            break
        if isinstance(item, LoresFrame):
            x, y, width, height = item.active
            luma = np.frombuffer(item.data, np.uint8, count=LORES_WIDTH * LORES_HEIGHT)
            picture = luma.reshape(LORES_HEIGHT, LORES_WIDTH)[y : y + height, x : x + width]
            looks.append(look_at(picture))
    return looks


def check_encoder(visit: Visit) -> Finding:
    """Encodes pictures of the configured size: is there time for each?"""
    if visit.settings.encoder.driver == "hardware":
        fact = "of the camera or its board: the camera's own line says whether it works"
        return good("encoder", fact)
    camera = visit.settings.camera
    encoder = parts.build_encoder(visit.settings)
    encoder.open(camera.width, camera.height, float(camera.frame_rate_hz))
    # Some noise over a slope that moves: neither the easiest picture nor the hardest.
    size = camera.width * camera.height * 3 // 2
    noise = np.random.default_rng(0).integers(0, 6, size, dtype=np.uint8)
    picture = noise + (np.arange(size) % camera.width * 100 // camera.width + 60).astype(np.uint8)
    period_ms = 1e3 / camera.frame_rate_hz
    try:
        began_s = time.perf_counter()
        for number in range(_ENCODED_FRAMES):
            encoder.encode(
                RawFrame(
                    pts_ns=round(number * period_ms * 1e6) + 1,
                    width=camera.width,
                    height=camera.height,
                    data=np.roll(picture, number * 4).tobytes(),
                )
            )
        encoder.finish()
        took_ms = (time.perf_counter() - began_s) * 1e3 / _ENCODED_FRAMES
    finally:
        encoder.close()
    fact = f"{encoder.name}, {took_ms:.1f} ms a frame, {period_ms:.1f} ms are there"
    if took_ms > period_ms:
        return warn("encoder", fact, "lower camera.width, camera.height or camera.frame_rate_hz")
    return good("encoder", fact)
