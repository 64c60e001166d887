"""What must never be stored, and what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from agent.crypto.seal import Sealer
from agent.wire.codec import encode
from agent.wire.manifest import SHEET_FILE, fragment_file
from agent.wire.topics import up_manifest
from agent.wire.transfer import Need, Open, Stored
from tests.collector_rig import PART_BYTES, Camera, Rig, later, need, never, stored
from tests.sample_clip import SampleDevice


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


def _flip(line: str) -> str:
    """Another payload under the same signature."""
    head, payload, signature = line.split(".")
    return f"{head}.{payload[:40]}{'A' if payload[40] != 'A' else 'B'}{payload[41:]}.{signature}"


FORGERIES: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "forged line": lambda lines: (lines[0], _flip(lines[1]), *lines[2:]),
    "reordered": lambda lines: (lines[0], lines[2], lines[1], *lines[3:]),
    "line left out": lambda lines: (lines[0], *lines[2:]),
    "cut tail": lambda lines: lines[:-1],
    "cut head": lambda lines: lines[1:],
    "line twice": lambda lines: (*lines[:2], lines[1], *lines[2:]),
    "not signed": lambda lines: (*lines[:-1], "rubbish"),
    "not ascii": lambda lines: (*lines[:-1], "ü.ü.ü"),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_forged_custody_is_refused_before_a_byte_is_stored(
    rig: Rig, forge: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    opened = clip.opened(PART_BYTES)
    answer = camera.send_open(clip.clip_id, structs.replace(opened, custody=forge(opened.custody)))

    refusal = rig.refusal(never(answer))
    assert (refusal.clip_id, refusal.manifest_sha256) == (clip.clip_id, clip.manifest_sha256)
    assert "custody" in refusal.why
    assert not list((rig.root / "store" / "incoming").iterdir())
    assert rig.said("refused")[0]["why"] == refusal.why
    # the honest lines are still welcome
    stored(camera.deliver(clip))


def test_refusal_is_the_same_word_when_asked_again_after_a_restart(rig: Rig) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    forged = structs.replace(clip.opened(PART_BYTES), custody=clip.custody[:-1])
    first = never(camera.send_open(clip.clip_id, forged))
    rig.stop()
    rig.start()

    assert never(camera.send_open(clip.clip_id, forged)) == first
    assert len(rig.said("refused")) == 1
    evidence = list((rig.root / "store" / "refused" / "cam01").iterdir())
    assert len(evidence) == 1
    assert json.loads(evidence[0].read_bytes())["custody"] == list(forged.custody)


def test_line_signed_with_the_key_of_another_device_is_not_believed(rig: Rig) -> None:
    rig.device("cam01")
    impostor = SampleDevice("cam01", rig.identity.to_public(), seed=9)
    rig.register("cam02", impostor)
    clip, camera = impostor.clip(), Camera(rig)

    answer = later(camera.open(clip))

    assert "is not known here" in answer.why
    assert not list((rig.root / "store" / "incoming").iterdir())


def test_device_that_is_not_known_is_told_later_and_stored_once_it_is(rig: Rig) -> None:
    device = rig.device("cam01", known=False)
    clip, camera = device.clip(), Camera(rig)
    assert "devices_dir" in later(camera.open(clip)).why

    rig.register("cam01", device)

    stored(camera.deliver(clip))


def test_clip_of_another_device_on_this_topic_is_refused(rig: Rig) -> None:
    rig.device("cam01")
    clip, camera = rig.device("cam02").clip(), Camera(rig, "cam01")

    answer = camera.send_open(clip.clip_id, clip.opened(PART_BYTES))

    assert "came as" in rig.refusal(never(answer)).why


def test_manifest_of_another_clip_on_this_topic_is_refused(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    first, second = device.clip(), device.clip()

    answer = camera.send_open(second.clip_id, first.opened(PART_BYTES))

    assert "came as" in rig.refusal(never(answer)).why


@pytest.mark.parametrize(
    "edit",
    [
        {"frames": 1},
        {"fragments": 2},
        {"clip_id": "../../etc/passwd"},
        {"device_id": ".."},
        {"session_id": "elsewhere"},
        {"end_pts_ns": 0},
        {"files": ()},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_manifest_that_was_changed_is_refused(rig: Rig, edit: dict[str, object]) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    manifest = json.loads(clip.manifest_body) | edit
    opened = structs.replace(clip.opened(PART_BYTES), manifest=json.dumps(manifest))

    never(camera.send_open(clip.clip_id, opened))
    assert not list((rig.root / "store" / "incoming").iterdir())


def test_truncated_fragments_are_refused(rig: Rig) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    manifest = structs.replace(
        clip.manifest, files=clip.manifest.files[:-1], fragments=2, frames=60
    )
    opened = Open(manifest=encode(manifest).decode(), custody=clip.custody, part_bytes=PART_BYTES)

    answer = camera.send_open(clip.clip_id, opened)

    assert "close line signs another manifest" in rig.refusal(never(answer)).why


def test_bytes_that_are_not_the_manifests_are_asked_for_once_more_then_refused(rig: Rig) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    wrong = bytearray(clip.files[fragment_file(1)])
    wrong[5000] ^= 1
    bad = structs.replace(clip, files={**clip.files, fragment_file(1): bytes(wrong)})

    again = need(camera.deliver(bad))
    assert again.contiguous < len(bad.parts(PART_BYTES))
    refused = rig.refusal(never(camera.deliver(bad)))

    assert fragment_file(1) in refused.why
    assert not list((rig.root / "store" / "incoming" / "cam01").iterdir())
    assert not rig.rows("SELECT * FROM clips")


def test_bytes_damaged_once_are_mended_by_the_second_sending(rig: Rig) -> None:
    clip, camera = rig.device().clip(), Camera(rig)
    wrong = bytearray(clip.files[fragment_file(2)])
    wrong[100] ^= 1
    bad = structs.replace(clip, files={**clip.files, fragment_file(2): bytes(wrong)})
    need(camera.deliver(bad))

    stored(camera.deliver(clip))
    assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain


def test_sheet_swapped_against_another_clips_is_refused(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    first, second = device.clip(), device.clip()
    files = {**second.files, SHEET_FILE: first.files[SHEET_FILE]}
    entries = (first.manifest.files[0], *second.manifest.files[1:])
    swapped = structs.replace(
        second, files=files, manifest=structs.replace(second.manifest, files=entries)
    )

    # with the manifest changed too the close line gives it away ...
    answer = camera.open(swapped)
    assert "close line" in rig.refusal(never(answer)).why
    # ... and with the manifest as signed the file's hash does
    swapped = structs.replace(second, files=files)
    if len(first.files[SHEET_FILE]) == len(second.files[SHEET_FILE]):
        need(camera.deliver(swapped))
        assert SHEET_FILE in rig.refusal(never(camera.deliver(swapped))).why


def test_sheet_of_another_clip_signed_by_the_device_itself_is_refused(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    device.sheet_name = device.name(7)

    answer = camera.deliver(device.clip())

    assert SHEET_FILE in rig.refusal(never(answer)).why


def test_fragment_whose_plain_bytes_are_not_the_signed_ones_is_refused(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    device.plain_hash_of = lambda _index: "0" * 64

    answer = camera.deliver(device.clip())

    assert "custody line signs" in rig.refusal(never(answer)).why


def test_clip_sealed_to_a_key_that_is_not_here_waits_for_the_key(rig: Rig) -> None:
    elsewhere = Rig(_made(rig.root / "elsewhere"))
    device, camera = elsewhere.device(), Camera(rig)
    rig.register("cam01", device)
    clip = device.clip()
    assert "age_identity_files" in later(camera.deliver(clip)).why

    with (rig.root / "identity.txt").open("a") as file:
        file.write(f"{elsewhere.identity}\n")
    rig.stop()
    rig.start()
    camera.listen()

    # nothing was sent again: the parts were kept
    stored(camera.answers[-1])
    assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain


def test_file_that_is_no_age_file_is_refused(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    device.sealer = _NoSealer([rig.identity.to_public()])

    answer = camera.deliver(device.clip())

    assert "cannot be opened" in rig.refusal(never(answer)).why


def test_evidence_is_bounded_for_each_device(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    for _ in range(70):
        clip = device.clip(count=1, fragment_bytes=100)
        never(camera.send_open(
            clip.clip_id, structs.replace(clip.opened(PART_BYTES), custody=clip.custody[:-1])
        ))  # fmt: skip

    assert len(list((rig.root / "store" / "refused" / "cam01").iterdir())) == 64


def test_open_that_cannot_be_read_gets_no_answer_and_one_line(rig: Rig) -> None:
    camera = Camera(rig)
    clip = rig.device().clip()
    for payload in (b"", b"{", b"[]", b'{"v":2}', b"\xff" * 100, b"[" * 100_000):
        camera._broker.publish(up_manifest("cam01", clip.clip_id), payload)
    rig.settle()
    camera.listen()

    assert camera.answers == []
    assert len(rig.log.getvalue().splitlines()) == 2  # connected, and the first of six
    stored(camera.deliver(clip))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class _NoSealer(Sealer):
    """Forgets to seal."""

    def seal(self, plain: bytes):  # type: ignore[no-untyped-def]
        sealed = super().seal(plain)
        return structs.replace(sealed, content=plain, ct_sha256=sealed.pt_sha256)


SURROGATE = b'{"manifest":"\\ud800","custody":["\\ud800"],"part_bytes":16384}'


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 20_000),
)
@example(edits=[], cut=None)
def test_damaged_open_never_stops_the_collector(
    rig: Rig, edits: list[tuple[int, int]], cut: int | None
) -> None:
    device, camera = rig.device(), Camera(rig)
    clip = device.clip(count=1, fragment_bytes=100)
    payload = bytearray(encode(clip.opened(PART_BYTES))[:cut])
    for at, byte in edits:
        if payload:
            payload[at % len(payload)] = byte
    for damaged in (bytes(payload), SURROGATE):
        camera._broker.publish(up_manifest("cam01", clip.clip_id), damaged)
    rig.settle()
    camera.listen()

    assert all(not isinstance(answer, Stored) for answer in camera.answers)
    assert isinstance(camera.open(clip), Need | Stored)
