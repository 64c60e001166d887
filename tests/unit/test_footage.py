"""The footage that is shipped is what its notice says."""

from __future__ import annotations

import json

import av
import pytest

from agent.drivers.replay_footage import inspect
from tests.footage_maker import SHIPPED

CLIPS = {
    "05_train_other_look": (640, 480, 1050),
    "07_building_720p": (1280, 720, 702),
    "stream_copy/closed_gop_720p": (1280, 720, 350),
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_truth_has_an_entry_for_each_frame(name: str) -> None:
    width, height, frames = CLIPS[name]
    truth = json.loads((SHIPPED / f"{name}.truth.json").read_text())
    with av.open(str(SHIPPED / f"{name}.mp4")) as container:
        stream = container.streams.video[0]
        packets = sum(1 for packet in container.demux(stream) if packet.size)
        assert (stream.width, stream.height) == (width, height) == tuple(truth["resolution"])
        assert stream.average_rate == truth["frame_rate_hz"] == 35
    assert packets == frames == len(truth["frames"])
    assert [entry["frame"] for entry in truth["frames"]] == list(range(frames))


def _copy_key(name: str) -> object:
    return inspect(SHIPPED / f"{name}.mp4", for_copy=True).copy_key


def test_only_the_closed_gop_clip_can_be_copied() -> None:
    copied = {name: _copy_key(name) for name in CLIPS}
    assert [name for name, key in copied.items() if key is not None] == [
        "stream_copy/closed_gop_720p"
    ]


def test_all_of_it_together_stays_small() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*.*")) < 16 * 1024 * 1024
