"""The tagger program against a bare loop around the same runtime and model, in the same run.

Three loops by turns, several times, so that what else the machine does strikes all alike:
bare (the runtime alone, one input over and over), preparation alone, and the real program
(`sightline-agent tagger`): frames over ipc, preparation, inference, head, smoothing, scores back.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect
from agent.ipc import sockets
from agent.ipc.messages import (
    FrameHeader,
    FrameScores,
    ModelReady,
    TaggerFault,
    TaggerMessage,
    pack,
    unpack,
)
from agent.services.tagger_model import TaggerModel
from agent.wire.model_manifest import ModelManifest
from models.reference.camera_run import Runtime, open_model, read_manifest

ROUNDS = 5
LOOP_S = 2.0
STEADY_FRAMES = 300
SMALLEST_RATIO, LARGEST_PREPARATION = 0.85, 0.15
WHOLE = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
CONFIG = """
[device]
device_id = "bench"
kind = "desk"
[paths]
state_dir = "state"
runtime_dir = "run"
[camera]
footage = "none"
[tagger]
accelerator = "{runtime}"
bundle = "{bundle}"
"""


class TaggingFigures(msgspec.Struct, kw_only=True):
    """Pictures a second of the loops, one number a round; what steady state allocates, in bytes."""

    model: str
    accelerator: str
    bare_hz: list[float]
    service_hz: list[float]
    preparation_ms: list[float]
    kept_bytes: int
    passing_bytes: int

    @property
    def ratio(self) -> float:
        pairs = zip(self.service_hz, self.bare_hz, strict=True)
        return statistics.median(service / bare for service, bare in pairs)

    @property
    def preparation_share(self) -> float:
        pairs = zip(self.preparation_ms, self.bare_hz, strict=True)
        return statistics.median(spent * bare / 1e3 for spent, bare in pairs)


def measure(folder: Path, bundle: Path, runtime: Runtime) -> TaggingFigures:
    """ROUNDS rounds of all three loops, LOOP_S each; then the allocations of one process."""
    manifest = read_manifest(bundle)
    frames = _pictures()
    model = open_model(bundle, runtime)
    bare, prepare = _bare_loop(model), _preparing(model, frames)
    bare_hz, service_hz, preparation_ms = list[float](), list[float](), list[float]()
    with _program(folder, bundle, runtime) as (frame_socket, score_socket):
        _through(frame_socket, score_socket, frames, 0)  # warm
        for number in range(ROUNDS):
            bare_hz.append(_rate_hz(bare))
            preparation_ms.append(1e3 / _rate_hz(prepare))
            service_hz.append(_through(frame_socket, score_socket, frames, number + 1))
    kept, passing = _allocations(model, frames, manifest)
    found = TaggingFigures(
        model=f"{manifest.name} {manifest.semver}",
        accelerator=model.provenance.accelerator,
        bare_hz=bare_hz,
        service_hz=service_hz,
        preparation_ms=preparation_ms,
        kept_bytes=kept,
        passing_bytes=passing,
    )
    model.close()
    return found


def _pictures() -> list[bytes]:
    random = np.random.default_rng(1)
    return [random.integers(0, 256, LORES_BYTES, dtype=np.uint8).tobytes() for _ in range(8)]


def _bare_loop(model: TaggerModel) -> Any:
    """One run of the driver's own runtime object, on the input that lies in the driver's tensor."""
    driver: Any = model._accelerator
    tensor = driver._tensor
    if driver.backend == "tflite":
        interpreter, index, output = driver._interpreter, driver._input, driver._output

        def run() -> None:
            interpreter.set_tensor(index, tensor)
            interpreter.invoke()
            interpreter.get_tensor(output)

        return run
    session, name = driver._session, driver._input
    return lambda: session.run(None, {name: tensor})


def _preparing(model: TaggerModel, frames: list[bytes]) -> Any:
    return lambda: model.prepare(frames[0], LORES_WIDTH, LORES_HEIGHT, WHOLE)


def _rate_hz(step: Any) -> float:
    count, began_s = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - began_s) < LOOP_S:
        step()
        count += 1
    return count / passed_s


@contextmanager
def _program(
    folder: Path, bundle: Path, runtime: str
) -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """The tagger program, and the two sockets of the recorder that it believes to talk to."""
    folder.mkdir(parents=True)
    config = folder / "agent.toml"
    config.write_text(CONFIG.format(runtime=runtime, bundle=bundle.resolve()), encoding="utf-8")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    frames = sockets.bind(
        context, zmq.PUSH, folder / "run", "frames", high_water=sockets.FRAMES_HIGH_WATER
    )
    scores = sockets.bind(context, zmq.PULL, folder / "run", "scores", high_water=100_000)
    argv = [sys.executable, "-m", "agent", "--config", str(config), "tagger"]
    with subprocess.Popen(argv) as program:
        try:
            _wait_ready(scores)
            yield frames, scores
        finally:
            program.terminate()
            program.wait(10)
            context.destroy(linger=0)


def _wait_ready(scores: zmq.Socket[bytes]) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        if scores.poll(500):
            message: TaggerMessage = unpack(TaggerMessage, scores.recv())
            if isinstance(message, ModelReady):
                return
            if isinstance(message, TaggerFault):
                raise RuntimeError(message.text)
    raise RuntimeError("the tagger was not ready in 60 s")


def _through(
    frames: zmq.Socket[bytes], scores: zmq.Socket[bytes], pictures: list[bytes], number: int
) -> float:
    """Frames a second from the first score to the last, always some waiting."""
    period_ns, base = 66_666_667, number * 10_000_000
    sent, scored, first_s, last_s = 0, 0, 0.0, 0.0
    until_s = time.monotonic() + LOOP_S
    while True:
        sending = time.monotonic() < until_s
        if sending and sent - scored < sockets.FRAMES_HIGH_WATER:
            header = FrameHeader(base + sent, (base + sent) * period_ns, 0, 0, 640, 360)
            frames.send_multipart([pack(header), pictures[sent % len(pictures)]])
            sent += 1
            continue
        if scored == sent:
            return (scored - 1) / (last_s - first_s)
        message: TaggerMessage = unpack(TaggerMessage, scores.recv())
        if isinstance(message, FrameScores):
            scored, last_s = scored + 1, time.perf_counter()
            first_s = first_s or last_s


def _allocations(
    model: TaggerModel, frames: list[bytes], manifest: ModelManifest
) -> tuple[int, int]:
    """(bytes more in use after STEADY_FRAMES than before, most in use within one of them above
    that), by tracemalloc: what Python and NumPy hold, not the runtime's own memory."""
    period_ns = round(1e9 / manifest.input.frame_rate_hz)

    def score(count: int, start: int) -> None:
        for number in range(start, start + count):
            picture = frames[number % len(frames)]
            model.score(number * period_ns, picture, LORES_WIDTH, LORES_HEIGHT, WHOLE)

    model.restart()
    tracemalloc.start()
    score(STEADY_FRAMES, 1)
    before = tracemalloc.get_traced_memory()[0]
    score(STEADY_FRAMES, STEADY_FRAMES + 1)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    score(1, 2 * STEADY_FRAMES + 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return after - before, peak - after


def report(figures: TaggingFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    bare, service = statistics.median(figures.bare_hz), statistics.median(figures.service_hz)
    return [
        f"{figures.model} on {figures.accelerator}",
        f"  through the service {service:.0f} pictures/s, bare loop {bare:.0f}: ratio"
        f" {figures.ratio:.2f} (must be {SMALLEST_RATIO})",
        f"  preparation {statistics.median(figures.preparation_ms):.2f} ms, inference"
        f" {1e3 / bare:.2f} ms: {figures.preparation_share:.0%} (must be under"
        f" {LARGEST_PREPARATION:.0%})",
        f"  memory of Python after {STEADY_FRAMES} more frames: {figures.kept_bytes:+d} bytes;"
        f" within a frame {figures.passing_bytes} bytes pass",
    ]


def missed(figures: TaggingFigures) -> list[str]:
    """What does not reach what it must."""
    checks = {
        "tagging ratio": figures.ratio >= SMALLEST_RATIO,
        "preparation": figures.preparation_share < LARGEST_PREPARATION,
        "allocation in steady state": figures.kept_bytes < STEADY_FRAMES * 16,
    }
    return [f"{name} on {figures.accelerator}" for name, held in checks.items() if not held]
