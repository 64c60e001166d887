"""A tagger that a test plays beside its recorder rig."""

from __future__ import annotations

import zmq

from agent.ipc.messages import (
    FrameHeader,
    FrameScores,
    ModelReady,
    TaggerMessage,
    Watermark,
    pack,
    unpack,
)
from agent.wire.label_sheet import ModelProvenance
from tests.recorder_rig import Rig

MODEL = ModelProvenance(
    name="fake",
    version=1,
    semver="1.0.0",
    artifact_sha256="0" * 64,
    manifest_sha256="1" * 64,
    backend="onnxruntime",
    accelerator="fake",
)
# The fake camera's rate of pictures for the model.
LORES_HZ = 5


class FakeTagger:
    """Answers every frame that is to be scored with one score, from the test's own thread."""

    def __init__(self, rig: Rig, max_gap_ms: int = 0) -> None:
        self._rig = rig
        self._frames = rig.connect(zmq.PULL, "frames")
        self._scores = rig.connect(zmq.PUSH, "scores")
        self.seen: list[FrameHeader] = []
        self.say(ModelReady(MODEL, ("shot",), float(LORES_HZ), max_gap_ms))
        rig.until(lambda: rig.recorder.status().model is not None, "the model's name")
        while not self.seen:  # the first frames may come before the sockets have met
            rig.run(0.5)
            self._take(20)

    def say(self, message: TaggerMessage) -> None:
        self._scores.send(pack(message))

    def score(self) -> None:
        """Score all that was offered."""
        while self.seen[-1].seq < self._rig.recorder._tagger._seq:
            assert self._take(10_000), "an offered frame did not come"

    def take_all(self) -> None:
        """Score all that has come; some of what was due may not."""
        while self._take(50):
            pass

    def run(self, seconds: float) -> None:
        """Film and score."""
        for _ in range(round(seconds * 2)):
            self._rig.run(0.5)
            self.score()

    def _take(self, timeout_ms: int) -> bool:
        if not self._frames.poll(timeout_ms):
            return False
        header, picture = self._frames.recv_multipart()
        frame: FrameHeader = unpack(FrameHeader, header)
        assert len(picture) == 640 * 360 * 3 // 2
        self.seen.append(frame)
        if frame.score:
            self.say(FrameScores(frame.pts_ns, (0.25,)))
            self.say(Watermark(frame.pts_ns))
        return True
