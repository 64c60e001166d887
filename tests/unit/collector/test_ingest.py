"""The collector from the broker's side: real disk, keys and catalogue, an in-memory broker."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import pytest
from msgspec import structs

from agent.wire.codec import decode
from agent.wire.label_sheet import LabelSheet
from agent.wire.transfer import unpack_have
from collector.catalogue import Catalogue
from collector.errors import StoreError
from collector.ingest import Ingest
from tests.collector_rig import PART_BYTES, Camera, Rig, later, need, stored
from tests.sample_clip import head_of


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.stop()


def test_whole_clip_is_stored_with_a_receipt_that_names_it(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()

    answer = stored(camera.deliver(clip))

    receipt = rig.receipt(answer)
    assert (receipt.clip_id, receipt.manifest_sha256) == (clip.clip_id, clip.manifest_sha256)
    assert receipt.custody_head == head_of(clip)
    assert receipt.collector == "collector-1"
    folder = rig.folder(clip)
    assert (folder / "clip.mp4").read_bytes() == clip.plain
    assert (folder / "labels.json").read_bytes() == clip.sheet
    assert (folder / "manifest.json").read_bytes() == clip.manifest_body
    assert (folder / "custody.jsonl").read_text().split() == list(clip.custody)
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip.mp4", "custody.jsonl", "labels.json", "manifest.json", "receipt.json"
    ]  # fmt: skip
    assert not list((rig.root / "store" / "incoming").glob("*/*"))
    assert rig.said("stored")[0]["folder"] == str(folder)


def test_parts_out_of_order_and_twice_make_the_same_clip(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    need(camera.open(clip))
    parts = list(enumerate(clip.parts(PART_BYTES)))
    for number, payload in [*reversed(parts), *parts]:
        camera.send_part(clip.clip_id, number, payload)
    rig.settle()
    camera.listen()

    stored(camera.answers[-1])
    assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain
    assert rig.rows("SELECT count(*) FROM clips") == [(1,)]


def test_stored_clip_sent_again_gets_the_same_receipt(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    first = stored(camera.deliver(clip))

    assert stored(camera.open(clip)) == first
    rig.stop()
    rig.start()
    assert stored(camera.open(clip)) == first


def test_need_names_durable_parts_only_and_bounds_the_window(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    assert need(camera.open(clip)).contiguous == 0
    parts = clip.parts(PART_BYTES)
    for number in (0, 1, 3):
        camera.send_part(clip.clip_id, number, parts[number])
    rig.settle()
    camera.listen()

    last = need(camera.answers[-1])
    assert (last.contiguous, unpack_have(last, len(parts))) == (2, {0, 1, 3})
    assert PART_BYTES <= last.window_bytes <= rig.settings.transfer.window_bytes


def test_restart_asks_only_for_what_is_missing(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.open(clip)
    parts = clip.parts(PART_BYTES)
    for number in (0, 1, 3):
        camera.send_part(clip.clip_id, number, parts[number])
    rig.settle()
    rig.stop()
    camera.listen()
    rig.start()
    camera.listen()

    # said by itself when it is connected again, before the camera's silence timer runs out
    assert unpack_have(need(camera.answers[-1]), len(parts)) == {0, 1, 3}
    stored(camera.deliver(clip))


def test_second_part_size_is_answered_with_the_size_in_force(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    assert need(camera.open(clip, PART_BYTES)).part_bytes == PART_BYTES
    camera.send_part(clip.clip_id, 0, clip.parts(PART_BYTES)[0])

    again = need(camera.open(clip, 2 * PART_BYTES))

    assert (again.part_bytes, again.contiguous) == (PART_BYTES, 1)
    stored(camera.deliver(clip, 2 * PART_BYTES))


def test_part_size_outside_the_limits_is_clamped(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()

    assert need(camera.open(clip, 512 * 1024)).part_bytes == rig.settings.transfer.part_bytes_max


def test_part_before_any_manifest_is_dropped_without_an_answer(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.send_part(clip.clip_id, 0, clip.parts(PART_BYTES)[0])
    rig.settle()
    camera.listen()

    assert camera.answers == []
    stored(camera.deliver(clip))


@pytest.mark.parametrize(
    ("change", "crc"),
    [
        (lambda payload: payload[:-1], None),
        (lambda payload: payload + b"x", None),
        (lambda payload: b"", None),
        (lambda payload: payload, "00000000"),
        (lambda payload: payload, ""),
        (lambda payload: bytes([payload[0] ^ 1]) + payload[1:], "right"),
    ],
    ids=["cut", "long", "empty", "wrong crc", "no crc", "flipped bit"],
)
def test_part_that_is_not_what_was_sent_is_not_stored(
    rig: Rig, change: Callable[[bytes], bytes], crc: str | None
) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.open(clip)
    right = clip.parts(PART_BYTES)[0]
    said = f"{google_crc32c.value(right):08x}" if crc == "right" else crc
    camera.send_part(clip.clip_id, 0, change(right), said)
    rig.settle()
    camera.listen()

    assert need(camera.open(clip)).contiguous == 0
    stored(camera.deliver(clip))


def test_part_number_beyond_the_clip_is_ignored(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.open(clip)
    camera.send_part(clip.clip_id, len(clip.parts(PART_BYTES)), b"x" * PART_BYTES)
    rig.settle()

    assert "of a clip of" in rig.log.getvalue()
    stored(camera.deliver(clip))


def test_same_id_with_another_manifest_keeps_both_and_says_so(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    first = device.clip()
    stored(camera.deliver(first))
    other = rig.device(seed=2).clip()
    assert other.clip_id == first.clip_id

    receipt = rig.receipt(stored(camera.deliver(other)))

    assert receipt.manifest_sha256 == other.manifest_sha256
    assert (rig.folder(first) / "clip.mp4").read_bytes() == first.plain
    kept = rig.folder(first).with_name(f"{other.clip_id}.conflict-{other.manifest_sha256[:12]}")
    assert (kept / "clip.mp4").read_bytes() == other.plain
    assert rig.rows("SELECT conflict FROM clips ORDER BY conflict") == [(0,), (1,)]
    assert "conflict" in rig.log.getvalue()
    assert rig.receipt(stored(camera.open(first))).manifest_sha256 == first.manifest_sha256
    assert rig.receipt(stored(camera.open(other))).manifest_sha256 == other.manifest_sha256


def test_session_record_is_stored_as_session_json(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    stored(camera.deliver(device.clip()))
    record = device.record()
    stored(camera.deliver(record))

    assert (rig.folder(record) / "session.json").read_bytes() == record.sheet
    assert rig.rows("SELECT kind, frames FROM clips ORDER BY kind") == [("clip", 90), ("record", 0)]
    assert rig.rows("SELECT cause FROM gaps ORDER BY cause") == [("camera stalled",), ("lens cap",)]


def test_recovered_clip_gets_a_sheet_built_from_its_fragments(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.recovered_clip()
    stored(camera.deliver(clip))

    sheet = decode(LabelSheet, (rig.folder(clip) / "labels.json").read_bytes())
    assert (sheet.built_by, sheet.video.frames) == ("collector", clip.manifest.frames)
    assert [gap.cause for gap in sheet.gaps] == ["the recorder was cut off"]
    assert (sheet.coverage.due, sheet.coverage.scored) == (45, 36)
    assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain
    assert rig.rows("SELECT recovered, sheet_built_by FROM clips") == [(1, "collector")]


def test_too_little_space_answers_later_and_stores_when_there_is_more(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    ample = rig.settings
    rig.settings = structs.replace(
        ample, collector=structs.replace(ample.collector, min_free_bytes=1 << 50)
    )
    rig.start()
    clip = device.clip()
    answer = later(camera.open(clip))
    assert answer.delay_s > 0
    assert "free" in answer.why
    rig.stop()
    rig.settings = ample
    rig.start()

    stored(camera.deliver(clip))


def test_disk_that_refuses_a_write_answers_later_and_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.open(clip)
    parts = clip.parts(PART_BYTES)
    camera.send_part(clip.clip_id, 0, parts[0])
    rig.settle()
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", _no_space)
        camera.send_part(clip.clip_id, 1, parts[1])
        rig.settle()
        camera.listen()
        assert "No space left" in later(camera.answers[-1]).why

    assert need(camera.open(clip)).contiguous == 1
    stored(camera.deliver(clip))


def test_catalogue_that_refuses_answers_later_then_the_same_receipt(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    with monkeypatch.context() as broken:
        broken.setattr(Catalogue, "add", _locked)
        later(camera.deliver(clip))
    assert not rig.rows("SELECT * FROM clips")

    stored(camera.deliver(clip))
    assert rig.rows("SELECT count(*) FROM clips") == [(1,)]


def test_more_transfers_than_are_kept_drop_the_one_that_lay_longest(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.settings = structs.replace(
        rig.settings, transfer=structs.replace(rig.settings.transfer, kept_clips_per_device=2)
    )
    rig.start()
    clips = [device.clip() for _ in range(3)]
    for clip in clips:
        need(camera.open(clip))

    assert len(list((rig.root / "store" / "incoming" / "cam01").iterdir())) == 2
    for clip in clips:
        stored(camera.deliver(clip))


def test_camera_silent_for_long_keeps_its_parts_and_no_open_files(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clip = device.clip()
    camera.open(clip)
    camera.send_part(clip.clip_id, 0, clip.parts(PART_BYTES)[0])
    rig.settle()
    folder = next((rig.root / "store" / "incoming").glob("*/*"))

    def open_files() -> list[str]:
        links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [name for path in links if str(folder) in (name := str(path.readlink()))]

    assert open_files()
    rig.now_s += 3600
    rig.settle()
    assert not open_files()
    assert need(camera.open(clip)).contiguous == 1
    stored(camera.deliver(clip))


def test_windows_of_all_cameras_stay_within_the_budget(rig: Rig) -> None:
    rig.settings = structs.replace(
        rig.settings,
        transfer=structs.replace(
            rig.settings.transfer, window_bytes=1 << 20, window_budget_bytes=1 << 20
        ),
    )
    rig.start()
    windows = []
    for number in range(4):
        name = f"cam{number}"
        device, camera = rig.device(name), Camera(rig, name)
        windows.append(need(camera.open(device.clip())).window_bytes)

    assert windows == [(1 << 20) // n for n in (1, 2, 3, 4)]


def test_each_clip_of_a_camera_is_told_the_window_of_the_whole_camera(rig: Rig) -> None:
    rig.start()
    device, camera = rig.device(), Camera(rig)
    windows = [need(camera.open(device.clip())).window_bytes for _ in range(3)]

    assert windows == [rig.settings.transfer.window_bytes] * 3


def test_two_collectors_of_a_group_share_one_clip(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    clip = device.clip()
    parts = clip.parts(PART_BYTES)
    # what round robin without affinity does: the second one sees half of the parts, no manifest
    first = _grouped(rig, "collector-1")
    camera.open(clip)
    for number in range(0, len(parts), 2):
        camera.send_part(clip.clip_id, number, parts[number])
    rig.settle()
    _grouped(rig, "collector-2")
    _unsubscribe(rig, "collector-1")
    for number in range(1, len(parts), 2):
        camera.send_part(clip.clip_id, number, parts[number])
    rig.settle()
    camera.listen()

    receipt = stored(camera.answers[-1])
    assert rig.receipt(receipt).collector == "collector-2"
    assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain
    first.close()


def _grouped(rig: Rig, name: str) -> Ingest:
    rig.settings = structs.replace(
        rig.settings,
        collector=structs.replace(rig.settings.collector, name=name, shared_group="group"),
    )
    return rig.start()


def _unsubscribe(rig: Rig, name: str) -> None:
    for client in list(rig.exchange._online):
        if client.client_id == name:
            rig.exchange.leave(client)


def _no_space(*_arguments: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(*_arguments: object) -> tuple[()]:
    raise StoreError("catalogue: database is locked")
