"""Recording at 1280x720, 35 pictures/s, while tagging at 15 Hz: latency, loss, memory, CPU."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import av
import msgspec

from agent.ipc.messages import RecorderStatus
from firmware_tools.demo_table import StoredClip, read_clips
from firmware_tools.local_stack import LocalStack
from tests.bench.process_memory import children, cpu_s, pss_mb

ROOT = Path(__file__).resolve().parents[2]
FOOTAGE = ROOT / "tests" / "footage" / "07_building_720p.mp4"
BUNDLE = ROOT / "models" / "sightline-reference" / "1"
RECORD_S = 30.0
SAMPLE_EVERY_S = 2.0
SHORT_SESSIONS = 5
SERVICES = ("recorder", "tagger", "uplink")


class Weights(TypedDict):
    """Largest PSS seen (MB) and CPU share (of one core) per service."""

    pss_mb: dict[str, float]
    pss_together_mb: float
    cpu_share: dict[str, float]


class RecordingFigures(msgspec.Struct, kw_only=True):
    """All that one run showed. Times in ms; `missing`: frame periods without a frame."""

    ack_ms: list[float]
    first_fragment_ms: list[float]
    press_fragment_ms: list[float]
    frames_in: int
    frames_in_mp4: int
    missing: int
    coverage: float
    pre_roll_kept_s: float
    pre_roll_mb: float
    pss_mb: dict[str, float]
    pss_together_mb: float
    cpu_share: dict[str, float]


def measure(folder: Path) -> RecordingFigures:
    """One session of RECORD_S with a full pre-roll of 30 s, then SHORT_SESSIONS for the latency."""
    with LocalStack(folder, footage=FOOTAGE, bundle=BUNDLE) as stack:
        stack.wait_ready()
        _wait_pre_roll(stack, 30.0)
        pre_roll_mb = _status(stack).pre_roll_bytes / 1e6
        latencies = [_press_and_time(stack)]
        weights = _weigh(stack)
        _stop_and_settle(stack)
        clips = read_clips(stack.store_dir)
        for _ in range(SHORT_SESSIONS):
            _wait_pre_roll(stack, 3.0)
            latencies.append(_press_and_time(stack))
            _stop_and_settle(stack)
    due = sum(clip.sheet.coverage.due for clip in clips)
    scored = sum(clip.sheet.coverage.scored for clip in clips)
    first = clips[0].sheet.pre_roll
    return RecordingFigures(
        ack_ms=[row[0] for row in latencies],
        first_fragment_ms=[row[1] for row in latencies],
        press_fragment_ms=[row[2] for row in latencies],
        **_frames(clips),
        coverage=scored / due,
        pre_roll_kept_s=0.0 if first is None else first.kept_s,
        pre_roll_mb=pre_roll_mb,
        **weights,
    )


def _press_and_time(stack: LocalStack) -> tuple[float, float, float]:
    """ms from the press to: the acknowledgement, any fragment on the card, the press's own."""
    pressed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    reply = stack.start()
    ack_ms = _since_ms(pressed_ns)
    if reply.status.state != "recording":
        raise RuntimeError(f"start was acknowledged with state {reply.status.state}")
    session = stack.state_dir / "spool" / "recording" / f"{reply.status.session_id}-0000"
    first_ms = 0.0
    while True:
        if not first_ms and (session / "0000.age").exists():
            first_ms = _since_ms(pressed_ns)
        durable_ns = _status(stack).last_durable_pts_ns
        if first_ms and durable_ns is not None and durable_ns > pressed_ns:
            return ack_ms, first_ms, _since_ms(pressed_ns)
        stack.turn()


def _weigh(stack: LocalStack) -> Weights:
    services = _services(stack)
    used_s = {name: cpu_s(pid) for name, pid in services.items()}
    began_s = time.monotonic()
    largest = dict.fromkeys(SERVICES, 0.0)
    together = 0.0
    sample_at_s = began_s
    while time.monotonic() - began_s < RECORD_S:
        stack.turn()
        if time.monotonic() >= sample_at_s:
            sample_at_s += SAMPLE_EVERY_S
            now = {name: pss_mb(pid) for name, pid in services.items()}
            largest = {name: max(largest[name], now[name]) for name in SERVICES}
            together = max(together, sum(now.values()))
    passed_s = time.monotonic() - began_s
    share = {name: (cpu_s(pid) - used_s[name]) / passed_s for name, pid in services.items()}
    return {"pss_mb": largest, "pss_together_mb": together, "cpu_share": share}


def _services(stack: LocalStack) -> dict[str, int]:
    agent = stack.supervisor.pid("agent")
    if agent is None:
        raise RuntimeError("the agent is not running")
    return {words[-1]: pid for pid, words in children(agent).items() if words[-1] in SERVICES}


def _frames(clips: list[StoredClip]) -> dict[str, int]:
    """Frames that the camera gave over the session (its span in frame periods), those found in the
    MP4s by decoding nothing but counting packets, and holes between neighbours."""
    period_ns = 1e9 / 35
    pts_ns: list[float] = []
    for clip in clips:
        with av.open(str(clip.folder / "clip.mp4")) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.pts is not None and packet.time_base is not None:
                    offset_ns = float(packet.pts * packet.time_base) * 1e9
                    pts_ns.append(clip.sheet.start_pts_ns + offset_ns)
    steps = [round((b - a) / period_ns) for a, b in pairwise(pts_ns)]
    frames_in = round((pts_ns[-1] - pts_ns[0]) / period_ns) + 1
    return {
        "frames_in": frames_in,
        "frames_in_mp4": len(pts_ns),
        "missing": sum(step - 1 for step in steps),
    }


def _wait_pre_roll(stack: LocalStack, seconds: float) -> None:
    stack.wait_until(
        lambda: (status := stack.status()) is not None and status.pre_roll_ready_s >= seconds,
        timeout_s=seconds + 60,
        what="the pre-roll",
    )


def _stop_and_settle(stack: LocalStack) -> None:
    stack.stop()
    outbox, recording = (stack.state_dir / "spool" / shelf for shelf in ("outbox", "recording"))
    stack.wait_until(
        lambda: (
            (status := stack.status()) is not None
            and status.state == "standby"
            and not any(outbox.iterdir())
            and not any(recording.iterdir())
        ),
        timeout_s=120,
        what="all receipts",
    )


def _status(stack: LocalStack) -> RecorderStatus:
    status = stack.status()
    if status is None:
        raise RuntimeError("the recorder does not answer")
    return status


def _since_ms(then_ns: int) -> float:
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - then_ns) / 1e6


def report(figures: RecordingFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    holds = {
        "recorder": f"pre-roll {figures.pre_roll_mb:.0f} MB, decoder and encoder",
        "tagger": "ONNX Runtime, OpenCV, NumPy, the model",
        "uplink": "parts in flight, TLS",
    }
    limits = {"recorder": 150, "tagger": 120, "uplink": 60}
    lines = [
        _times("start press to acknowledged", figures.ack_ms, 50),
        _times("first sealed fragment on disk", figures.first_fragment_ms, 1500),
        _times("the press's own fragment on disk", figures.press_fragment_ms, None),
        f"frames at 720p35: {figures.frames_in} in, {figures.frames_in_mp4} in the MP4s, "
        f"{figures.missing} missing (must be 0); coverage {figures.coverage:.1%}; pre-roll kept "
        f"{figures.pre_roll_kept_s:.2f} s",
    ]
    lines += [
        f"memory of {name}: {figures.pss_mb[name]:.0f} MB PSS (limit {limits[name]}), "
        f"{figures.cpu_share[name]:.0%} of a core: {holds[name]}"
        for name in SERVICES
    ]
    lines.append(f"memory together: {figures.pss_together_mb:.0f} MB PSS (limit 300)")
    return lines


def _times(what: str, values_ms: list[float], limit_ms: float | None) -> str:
    limit = "" if limit_ms is None else f" (limit {limit_ms:.0f} ms)"
    return (
        f"{what}: median {statistics.median(values_ms):.1f} ms, "
        f"worst {max(values_ms):.1f} ms of {len(values_ms)}{limit}"
    )
