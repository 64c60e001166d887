"""A file system that is really full: ENOSPC at whichever write it comes, nothing safe is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.config import Retention
from agent.core.label_book import LabelBook
from agent.errors import SpoolError
from agent.services.housekeeping import Housekeeper
from agent.services.recovery import recover_all
from agent.services.sheet import label_sheet
from agent.services.vault import SessionStub, ThinnedClip
from agent.services.writer import (
    CardWriter,
    ClipLeft,
    CloseClipJob,
    FragmentJob,
    FragmentKept,
    LabelsJob,
    RecordJob,
    SessionJob,
    TidyJob,
)
from agent.storage.identity import next_boot
from agent.storage.recorder_state import RecorderState
from tests.clock import ManualClock
from tests.recorder_rig import SESSION, Keys, Rig, make_vault, open_item
from tests.unit.services.test_recovery import CLIP, RECORD, facts, fragment_labels_of, fragments
from tests.unit.services.test_recovery import record as session_record

PAGE = 4096
# The clip with its sheet and the record fit into the largest.
SMALLEST, LARGEST = 1, 18
KEY = (1, 0)
STUB = SessionStub(
    session_id=SESSION,
    start_pts_ns=0,
    boot_counter=1,
    mono_ns=0,
    wall_ns=0,
    clock_trust="untrusted",
)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


class SmallCard:
    """A tmpfs that holds so many pages of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        try:
            mount("-t", "tmpfs", "-o", f"size={PAGE}", "sightline-test", str(folder))
        except (OSError, subprocess.CalledProcessError) as exc:
            pytest.skip(f"no tmpfs can be mounted here ({exc})")

    def resize(self, pages: int) -> None:
        mount("-o", f"remount,size={pages * PAGE}", str(self.folder))

    def free_bytes(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize


@pytest.fixture
def card(tmp_path: Path) -> Iterator[SmallCard]:
    made = SmallCard(tmp_path / "card")
    yield made
    subprocess.run(["umount", str(made.folder)], check=True)


def writer_on(card: SmallCard, state_dir: Path, keys: Keys, boot: int = 1) -> CardWriter:
    vault = make_vault(state_dir, keys, ManualClock(), boot=boot, fsync=os.fsync)
    rule = Retention(min_free_bytes=0, slack_bytes=0)
    housekeeper = Housekeeper(vault.spool, vault.state, rule, vault.clock, card.free_bytes)
    return CardWriter(vault, housekeeper, lambda: None)


def film(writer: CardWriter) -> tuple[int, bool]:
    """Record one clip and its session: the frames called safe, and whether the clip was closed."""
    sheet = label_sheet(facts(), LabelBook[object]().view(0, 1, silent=True), [])  # type: ignore[arg-type]
    jobs: list[object] = []
    for index, part in enumerate(fragments()):
        jobs.append(FragmentJob(key=KEY, clip_id=CLIP, fragment=part, gaps=(), counted=True))
        jobs.append(LabelsJob(KEY, fragment_labels_of(index)))
    jobs += [CloseClipJob(KEY, sheet, "plain"), RecordJob(1, session_record())]
    frames, closed = 0, False
    for job in jobs:
        writer.submit(job)  # type: ignore[arg-type]
        writer.work()
        for result in writer.take_results():
            if isinstance(result, FragmentKept):
                frames += result.frames
            closed = closed or isinstance(result, ClipLeft)
    return frames, closed


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_called_safe_survives_a_card_that_fills_up_at_any_write(
    card: SmallCard, restarted: bool
) -> None:
    outcomes = set()
    for pages in range(SMALLEST, LARGEST):
        state_dir, keys = card.folder / str(pages), Keys()
        card.resize(LARGEST)
        writer = writer_on(card, state_dir, keys)
        writer.submit(SessionJob(STUB))
        writer.work()
        card.resize(pages)
        frames, closed = film(writer)
        full = card.free_bytes() < PAGE
        if full:  # nothing to free: recovery is refused as well, and breaks nothing
            writer.submit(TidyJob())
            writer.work()
        card.resize(2 * LARGEST)
        if restarted:
            writer = writer_on(card, state_dir, keys, boot=2)
            recover_all(writer._vault)
        else:
            writer.submit(TidyJob())
            writer.work()
        spool = writer._vault.spool
        assert spool.clips("recording") == []
        if frames:
            item = open_item(spool, "outbox", CLIP, keys)
            assert item.frames == item.manifest.frames >= frames
            assert not (closed and item.manifest.recovered)
        assert open_item(spool, "outbox", RECORD, keys).record.session_id == SESSION
        outcomes.add((frames, closed))
        subprocess.run(["rm", "-r", str(state_dir)], check=True)
    # It filled up before the first fragment, between any two, in the close, and not at all.
    assert {frames for frames, _closed in outcomes} == {0, 5, 10, 15}
    assert (15, False) in outcomes
    assert (15, True) in outcomes


def test_a_boot_number_is_not_used_twice_over_a_full_card(card: SmallCard) -> None:
    card.resize(8)
    first = next_boot(card.folder, random_bytes=os.urandom)
    (card.folder / "filler").write_bytes(bytes(card.free_bytes()))
    with pytest.raises(SpoolError, match="No space left"):
        next_boot(card.folder, random_bytes=os.urandom)
    (card.folder / "filler").unlink()
    second = next_boot(card.folder, random_bytes=os.urandom)
    assert (second.epoch, second.boot) == (first.epoch, first.boot + 1)


TIGHT = 160  # pages


def test_a_recorder_that_fills_its_card_ends_the_session_and_keeps_all_of_it(
    card: SmallCard,
) -> None:
    card.resize(TIGHT)
    bounds = Retention(min_free_bytes=60 * PAGE, slack_bytes=8 * PAGE)
    with Rig(card.folder, retention=bounds, free_bytes=None, fsync=os.fsync, clip_s=2) as rig:
        rig.start()
        for _ in range(60):
            rig.run(1)
            rig.written()
            if rig.recorder.status().state != "recording":
                break
        rig.settle()
        status, record = rig.recorder.status(), rig.item("record").record
        assert record.ended == "card_full"
        assert [gap.cause for gap in record.gaps] == ["card full"]
        assert "card full" in rig.start().refused
        clips = [rig.item(name[-4:]) for name in rig.outbox() if not name.endswith("record")]
        assert sum(clip.frames for clip in clips) == status.frames_written > 0
        assert not any(clip.manifest.recovered for clip in clips)
        assert card.free_bytes() > 0


def test_with_the_admins_leave_a_small_card_takes_a_long_session(card: SmallCard) -> None:
    card.resize(TIGHT)
    bounds = Retention(min_free_bytes=60 * PAGE, slack_bytes=8 * PAGE, overwrite_unsent=True)
    with Rig(card.folder, retention=bounds, free_bytes=None, fsync=os.fsync, clip_s=2) as rig:
        rig.start()
        for _ in range(80):
            rig.run(1)
            rig.written()
        assert rig.recorder.status().state == "recording"
        rig.stop()
        rig.run(1.5)
        rig.settle()
        item = rig.item("record")
        gone = {line.thinned for line in item.lines if line.kind == "thinned"}
        assert gone
        # Given up for the record's own sake: noted for the next record.
        notes = RecorderState(rig.settings.paths.state_dir).thinned()
        gone |= {msgspec.json.decode(note, type=ThinnedClip).clip_id for note in notes}
        assert gone | set(rig.outbox()) - {f"{SESSION}-record"} == set(item.record.clips)
        assert item.record.gaps == ()
