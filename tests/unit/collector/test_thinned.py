"""What a camera gave up unsent is known at the collector, by the camera's own signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire.transfer import Never
from tests.collector_rig import Camera, Rig, stored


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


def test_a_clip_given_up_unsent_is_in_the_catalogue_and_said(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    lost = [device.name(number).clip_id for number in (1, 3)]
    record = device.record(thinned=lost)
    stored(camera.deliver(record))

    assert rig.rows("SELECT clip_id, frames, cause, clip_key FROM thinned ORDER BY clip_id") == [
        (clip_id, 90, "card full", record.clip_id) for clip_id in lost
    ]
    assert "cam01 gave up 2 unsent clips" in rig.log.getvalue()


@pytest.mark.parametrize("named", ["cam02-0123456789abcdef-000001-0001-0001", "nonsense"])
def test_a_device_gives_up_clips_of_its_own_alone(rig: Rig, named: str) -> None:
    answer = Camera(rig).deliver(rig.device().record(thinned=[named]))
    assert isinstance(answer, Never)
    assert rig.rows("SELECT count(*) FROM thinned") == [(0,)]
