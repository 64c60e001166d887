"""Sheets ahead of their footage: many transfers of one camera, few of them in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from agent.wire.transfer import unpack_have
from collector.__main__ import main
from collector.store import Store
from collector.underway import describe, underway
from tests.collector_rig import PART_BYTES, Camera, Rig, need, stored
from tests.sample_clip import SampleClip


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.stop()


def limit(rig: Rig, **limits: int) -> None:
    rig.settings = structs.replace(
        rig.settings, transfer=structs.replace(rig.settings.transfer, **limits)
    )


def send_words(rig: Rig, camera: Camera, clip: SampleClip) -> None:
    """Open, and the first part: the label sheet lies in it."""
    need(camera.open(clip))
    camera.send_part(clip.clip_id, 0, clip.parts(PART_BYTES)[0])
    rig.settle()
    camera.listen()


def in_memory(rig: Rig) -> int:
    assert rig.ingest is not None
    return len(list(rig.ingest._clips))


def test_parked_transfers_keep_their_parts_and_go_on_where_they_were(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    limit(rig, open_clips_per_device=2)
    rig.start()
    clips = [device.clip() for _ in range(9)]
    for clip in clips:
        send_words(rig, camera, clip)
    assert in_memory(rig) == 2
    assert len(list((rig.root / "store" / "incoming" / "cam01").iterdir())) == 9
    for clip in clips:
        answer = need(camera.open(clip))
        assert unpack_have(answer, len(clip.parts(PART_BYTES))) == {0}
        stored(camera.deliver(clip))
        assert (rig.folder(clip) / "labels.json").read_bytes() == clip.sheet
    assert not list((rig.root / "store" / "incoming").glob("*/*"))


def test_parked_transfers_let_go_of_their_files(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    limit(rig, open_clips_per_device=2)
    rig.start()
    for _ in range(4):
        send_words(rig, camera, device.clip(fragment_bytes=8000))  # one fragment is whole, too
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        send_words(rig, camera, device.clip(fragment_bytes=8000))
    assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_parked_transfers_survive_a_restart_that_takes_few_into_memory(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    limit(rig, open_clips_per_device=2)
    rig.start()
    clips = [device.clip() for _ in range(5)]
    for clip in clips:
        send_words(rig, camera, clip)
    rig.stop()
    rig.start()
    assert in_memory(rig) == 2
    for clip in clips:
        assert unpack_have(need(camera.open(clip)), len(clip.parts(PART_BYTES))) == {0}


def test_few_transfers_with_footage_are_kept_however_many_with_words_are(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.parking.WORDS_BYTES", 2 * PART_BYTES)
    device, camera = rig.device(), Camera(rig)
    limit(rig, open_clips_per_device=2)
    rig.start()
    heavy = [device.clip() for _ in range(3)]
    for clip in heavy:
        need(camera.open(clip))
        for number, payload in enumerate(clip.parts(PART_BYTES)[:4]):
            camera.send_part(clip.clip_id, number, payload)
        rig.settle()
    light = [device.clip() for _ in range(4)]
    for clip in light:
        send_words(rig, camera, clip)
    kept = {path.name.split(".")[0] for path in (rig.root / "store/incoming/cam01").iterdir()}
    assert kept == {clip.clip_id for clip in [heavy[2], *light]}


def test_smaller_parts_are_agreed_to_while_nothing_has_come(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    assert need(camera.open(clip, 4 * PART_BYTES)).part_bytes == 4 * PART_BYTES
    assert need(camera.open(clip)).part_bytes == PART_BYTES
    camera.send_part(clip.clip_id, 0, clip.parts(PART_BYTES)[0])
    rig.settle()
    assert need(camera.open(clip, 4 * PART_BYTES)).part_bytes == PART_BYTES
    stored(camera.deliver(clip))


def test_smaller_parts_are_agreed_to_after_a_restart_too(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    need(camera.open(clip, 4 * PART_BYTES))
    rig.stop()
    rig.start()
    assert need(camera.open(clip)).part_bytes == PART_BYTES
    stored(camera.deliver(clip))


def test_sheet_can_be_read_while_the_footage_is_on_its_way(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    whole, words, opened = (device.clip() for _ in range(3))
    stored(camera.deliver(whole))
    send_words(rig, camera, words)
    need(camera.open(opened))
    found = {each.manifest.clip_id: each for each in underway(Store(rig.root / "store"))}
    assert set(found) == {words.clip_id, opened.clip_id}
    ahead = found[words.clip_id]
    assert ahead.sheet_file is not None
    assert ahead.sheet_file.read_bytes() == words.sheet
    assert ahead.here_bytes == PART_BYTES
    assert "1 marks, muzzle 0.0-1.0 s" in describe(ahead)
    assert describe(found[opened.clip_id]).endswith("0 % here, no sheet yet")


def test_damaged_sheet_is_not_shown(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    need(camera.open(clip))
    camera.send_part(clip.clip_id, 0, bytes(PART_BYTES))
    rig.settle()
    (found,) = underway(Store(rig.root / "store"))
    assert found.sheet is None


def test_program_lists_what_is_under_way(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    send_words(rig, camera, clip)
    (rig.root / "store" / "incoming" / "cam01" / "rubbish").mkdir()
    file = rig.root / "collector.toml"
    file.write_text('[collector]\nname = "collector-1"\nstore_dir = "store"\n')
    assert main(["underway", "--config", str(file)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{clip.clip_id}  plain ")
