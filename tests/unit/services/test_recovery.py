"""Power cuts at every step: whatever was acknowledged arrives, once, and the rest is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.core.label_book import LabelBook
from agent.crypto.custody import intact_prefix
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import SpoolError
from agent.media.fragments import Fragment, FragmentMuxer
from agent.ports.camera import Packet, RawFrame, StreamInfo
from agent.services.recovery import DAMAGED, NOT_ON_CARD, recover_all, recover_item
from agent.services.sheet import ClipFacts, fragment_labels, label_sheet
from agent.services.vault import SealedClip, SessionStub, Vault
from agent.wire.codec import encode
from agent.wire.label_sheet import ClockReading, FragmentLabels, SessionRecord
from tests.clock import ManualClock
from tests.power_cut import Card, PowerCutError, cut, fsync_of_the_card
from tests.recorder_rig import DEVICE, SESSION, VERSION, Keys, Shelved, make_vault, open_item

__all__ = ["cut"]  # a fixture
CLIP = f"{SESSION}-0000"
RECORD = f"{SESSION}-record"
FRAMES_A_FRAGMENT = 5
CLOCK = ClockReading(boot_counter=1, mono_ns=0, wall_ns=0, trust="untrusted")


@cache
def fragments() -> list[Fragment]:
    """Three real fragments of five frames each."""
    encoder = X264Encoder(config.Encoder(bitrate_kbps=100))
    encoder.open(64, 48, float(FRAMES_A_FRAGMENT))
    packets: list[Packet] = []
    for number in range(3 * FRAMES_A_FRAGMENT):
        picture = bytes([40 + number]) * (64 * 48) + b"\x80" * (64 * 24)
        frame = RawFrame(pts_ns=number * 10**9 // 5, width=64, height=48, data=picture)
        packets += encoder.encode(frame)
    encoder.close()
    muxer = FragmentMuxer(64, 48, float(FRAMES_A_FRAGMENT))
    made = [muxer.push(packet) for packet in packets] + [muxer.finish()]
    return [fragment for fragment in made if fragment is not None]


def facts() -> ClipFacts:
    return ClipFacts(
        clip_id=CLIP,
        session_id=SESSION,
        device_id=DEVICE,
        agent_version=VERSION,
        start_pts_ns=0,
        end_pts_ns=3 * 10**9,
        frames=15,
        info=StreamInfo(width=64, height=48, frame_rate_hz=5.0, encoder="x264", source="fake"),
        clock=CLOCK,
        pre_roll=None,
        declared=(),
        gaps=(),
    )


def record() -> SessionRecord:
    return SessionRecord(
        session_id=SESSION,
        device_id=DEVICE,
        agent_version=VERSION,
        start_pts_ns=0,
        stop_pts_ns=3 * 10**9,
        ended="stopped",
        clips=(CLIP,),
        clock=CLOCK,
    )


@dataclass
class Witness:
    """What the recorder had been told is safe when the cut came."""

    fragments: int = 0
    closed: bool = False
    record: bool = False


def put_fragment(clip: SealedClip, index: int) -> None:
    part = fragments()[index]
    clip.put_fragment(part.content, part.start_pts_ns, part.end_pts_ns, part.frames)


def fragment_labels_of(index: int) -> FragmentLabels:
    part = fragments()[index]
    return fragment_labels(
        facts(),
        LabelBook[Any]().view(0, 1, silent=True),
        [],
        index=index,
        start_pts_ns=part.start_pts_ns,
        end_pts_ns=part.end_pts_ns,
        frames=part.frames,
    )


def put_labels(clip: SealedClip, index: int) -> None:
    clip.put_labels(fragment_labels_of(index))


def record_a_session(vault: Vault, witness: Witness) -> None:
    """A session of one clip of three fragments, all of its writes."""
    vault.state.put_session(
        SESSION,
        encode(
            SessionStub(
                session_id=SESSION,
                start_pts_ns=0,
                boot_counter=1,
                mono_ns=0,
                wall_ns=0,
                clock_trust="untrusted",
            )
        ),
    )
    clip = vault.open_clip(CLIP, ())
    for index in range(3):
        put_fragment(clip, index)
        witness.fragments += 1
        put_labels(clip, index)
    clip.close(label_sheet(facts(), LabelBook[Any]().view(0, 1, silent=True), []), "plain")
    witness.closed = True
    vault.put_record(record())
    witness.record = True


def operations_of(work: Callable[[], object], cut: Callable[..., Card]) -> int:
    card = cut()
    work()
    return card.operations


def check_arrived(vault: Vault, keys: Keys, witness: Witness) -> Shelved | None:
    """Nothing is left on the recording shelf, and what was acknowledged is in the outbox."""
    assert vault.spool.clips("recording") == []
    assert vault.state.sessions() == {}
    assert vault.spool.clips("rejected") == []
    shelved = vault.spool.clips("outbox")
    if RECORD in shelved:
        told = open_item(vault.spool, "outbox", RECORD, keys).record
        assert told.clips == tuple(clip for clip in shelved if clip != RECORD)
    if CLIP not in shelved:
        assert witness.fragments == 0
        return None
    clip = open_item(vault.spool, "outbox", CLIP, keys)
    assert clip.manifest.fragments >= witness.fragments
    assert clip.frames == clip.manifest.frames == FRAMES_A_FRAGMENT * clip.manifest.fragments
    assert RECORD in shelved
    if not clip.manifest.recovered:
        assert clip.sheet.video.frames == 15
    if witness.closed:
        assert not clip.manifest.recovered
    return clip


def test_an_uncut_session_needs_no_recovery(tmp_path: Path) -> None:
    keys, witness = Keys(), Witness()
    vault = make_vault(tmp_path, keys, ManualClock())
    record_a_session(vault, witness)
    assert recover_all(vault) == []
    clip = check_arrived(vault, keys, witness)
    assert clip is not None
    assert clip.frames == 15


def test_a_power_cut_at_any_operation_loses_nothing_acknowledged(
    tmp_path: Path, cut: Callable[..., Card]
) -> None:
    keys, clock = Keys(), ManualClock()
    vault = make_vault(tmp_path / "whole", keys, clock, fsync=fsync_of_the_card)
    total = operations_of(lambda: record_a_session(vault, Witness()), cut)
    assert total > 60
    for operation in range(1, total + 1):
        folder, witness = tmp_path / str(operation), Witness()
        cut()
        vault = make_vault(folder, keys, clock, fsync=fsync_of_the_card)
        cut(operation)
        with pytest.raises(PowerCutError):
            record_a_session(vault, witness)
        cut()
        again = make_vault(folder, keys, clock, boot=2, fsync=fsync_of_the_card)
        recover_all(again)
        check_arrived(again, keys, witness)
        shutil.rmtree(folder)


def test_a_recovery_that_is_cut_itself_goes_on_from_there(
    tmp_path: Path, cut: Callable[..., Card]
) -> None:
    keys, clock = Keys(), ManualClock()

    def interrupted(folder: Path) -> Witness:
        vault, witness = make_vault(folder, keys, clock, fsync=fsync_of_the_card), Witness()
        clip = vault.open_clip(CLIP, ())
        vault.state.put_session(SESSION, b"damaged")
        for index in range(2):
            put_fragment(clip, index)
            put_labels(clip, index)
            witness.fragments += 1
        put_fragment(clip, 2)
        (folder / "spool" / "recording" / CLIP / "0002.age").unlink()
        return witness

    interrupted(tmp_path / "whole")
    vault = make_vault(tmp_path / "whole", keys, clock, boot=2, fsync=fsync_of_the_card)
    total = operations_of(lambda: recover_all(vault), cut)
    for operation in range(1, total + 1):
        folder = tmp_path / str(operation)
        cut()
        witness = interrupted(folder)
        vault = make_vault(folder, keys, clock, boot=2, fsync=fsync_of_the_card)
        cut(operation)
        with pytest.raises(PowerCutError):
            recover_all(vault)
        cut()
        again = make_vault(folder, keys, clock, boot=3)
        recover_all(again)
        clip = check_arrived(again, keys, witness)
        assert clip is not None
        assert clip.manifest.recovered
        causes = [line.cause for line in clip.lines if line.kind == "gap"]
        assert causes == [NOT_ON_CARD, "the recorder was cut off"]
        shutil.rmtree(folder)


def test_a_refused_write_at_any_operation_is_mended_without_a_restart(
    tmp_path: Path, cut: Callable[..., Card]
) -> None:
    keys, clock = Keys(), ManualClock()
    vault = make_vault(tmp_path / "whole", keys, clock, fsync=fsync_of_the_card)
    total = operations_of(lambda: record_a_session(vault, Witness()), cut)
    for operation in range(1, total + 1):
        folder, witness = tmp_path / str(operation), Witness()
        cut()
        vault = make_vault(folder, keys, clock, fsync=fsync_of_the_card)
        cut(operation, lambda: OSError(5, "Input/output error"))
        with pytest.raises((OSError, SpoolError), match="nput/output"):
            record_a_session(vault, witness)
        cut()
        for clip_id in vault.spool.clips("recording"):
            recover_item(vault, clip_id, "the card refused a write")
        assert vault.spool.clips("recording") == []
        if witness.fragments:
            clip = open_item(vault.spool, "outbox", CLIP, keys)
            assert clip.manifest.fragments >= witness.fragments
        shutil.rmtree(folder)


@pytest.fixture
def open_session(tmp_path: Path) -> tuple[Vault, Keys, Path]:
    """A clip with three fragments and labels, that nobody closed."""
    keys = Keys()
    vault = make_vault(tmp_path, keys, ManualClock())
    clip = vault.open_clip(CLIP, ())
    for index in range(3):
        put_fragment(clip, index)
        put_labels(clip, index)
    return vault, keys, tmp_path / "spool" / "recording" / CLIP


def test_a_recovered_clip_lists_the_labels_of_each_fragment_before_it(
    open_session: tuple[Vault, Keys, Path],
) -> None:
    vault, keys, folder = open_session
    (folder / "0001.labels.age").unlink()
    (done,) = recover_all(vault)
    clip = open_item(vault.spool, "outbox", CLIP, keys)
    names = [entry.name for entry in clip.manifest.files]
    assert names == ["0000.labels.age", "0000.age", "0001.age", "0002.labels.age", "0002.age"]
    assert done.outcome == "closed"
    assert clip.lines[-1].sheet_sha256 is None
    assert clip.sidecar(2).index == 2


def test_a_torn_last_line_is_cut(open_session: tuple[Vault, Keys, Path]) -> None:
    vault, keys, folder = open_session
    with (folder / "custody.jsonl").open("ab") as file:
        file.write(b"eyJhbGciOiJFZERTQSI")
    recover_all(vault)
    assert open_item(vault.spool, "outbox", CLIP, keys).frames == 15


def test_lines_of_zeros_after_a_cut_are_no_lines(open_session: tuple[Vault, Keys, Path]) -> None:
    vault, keys, folder = open_session
    with (folder / "custody.jsonl").open("ab") as file:
        file.write(b"\0" * 300 + b"\n" + b"\xff\n")
    recover_all(vault)
    assert open_item(vault.spool, "outbox", CLIP, keys).frames == 15


def test_a_damaged_fragment_is_kept_aside_and_never_sent(
    open_session: tuple[Vault, Keys, Path],
) -> None:
    vault, keys, folder = open_session
    path = folder / "0001.age"
    path.write_bytes(path.read_bytes()[:-1])
    recover_all(vault)
    clip = open_item(vault.spool, "outbox", CLIP, keys)
    assert clip.frames == 10
    assert (clip.folder / "0001.age.damaged").exists()
    assert (1, DAMAGED) in {(line.index, line.cause) for line in clip.lines if line.kind == "gap"}


def test_a_clip_without_its_first_fragment_stays_on_the_card_with_its_reason(
    open_session: tuple[Vault, Keys, Path],
) -> None:
    vault, _, folder = open_session
    (folder / "0000.age").write_bytes(b"rubbish")
    (done,) = recover_all(vault)
    assert done.outcome == "set_aside"
    assert vault.spool.clips("outbox") == []
    kept = vault.spool.path("rejected", CLIP)
    assert {"0001.age", "0002.age", "0000.age.damaged", "reason.json"} <= set(os.listdir(kept))


def test_a_directory_without_a_fragment_is_removed(tmp_path: Path) -> None:
    vault = make_vault(tmp_path, Keys(), ManualClock())
    vault.open_clip(CLIP, ())
    (done,) = recover_all(vault)
    assert done.outcome == "removed"
    assert vault.spool.clips("outbox") == vault.spool.clips("recording") == []


def test_the_next_clip_hangs_on_the_recovered_one(open_session: tuple[Vault, Keys, Path]) -> None:
    _, keys, folder = open_session
    clock = ManualClock(boot_ns=5)
    again = make_vault(folder.parents[2], keys, clock, boot=2)
    (done,) = recover_all(again)
    assert done.head is not None
    following = again.open_clip(f"{DEVICE}-0123456789abcdef-000002-0001-0000", ())
    lines = again.files(following.clip_id).lines()
    _, (opened,) = intact_prefix(lines, lambda kid: keys.signer.public_key)
    assert (opened.prev, opened.n) == (done.head.line_sha256, done.head.n + 1)


def test_a_damaged_custody_head_is_found_anew_on_the_shelves(tmp_path: Path) -> None:
    keys = Keys()
    vault = make_vault(tmp_path, keys, ManualClock())
    record_a_session(vault, Witness())
    head = vault.chain.head
    (tmp_path / "state" / "custody.json").write_bytes(b"{")
    again = make_vault(tmp_path, keys, ManualClock(), boot=2)
    recover_all(again)
    assert again.chain.head == head
