"""Room on the card: who goes, who never does, and what is said about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import Retention
from agent.core.label_book import LabelBook
from agent.services.housekeeping import THINNED, CardRoom, Housekeeper
from agent.services.recovery import recover_all
from agent.services.sheet import label_sheet
from agent.services.vault import SessionStub
from agent.storage.spool import Shelf
from agent.wire.codec import encode
from agent.wire.manifest import Priority
from tests.clock import ManualClock
from tests.power_cut import Card, PowerCutError, cut, fsync_of_the_card
from tests.recorder_rig import SESSION, Keys, make_vault, open_item
from tests.unit.services.test_recovery import facts, fragments, record

__all__ = ["cut"]  # a fixture

KIB = 1024
CLIP_BYTES = 40 * KIB  # what the gauge counts for each clip here
STUB = SessionStub(
    session_id=SESSION,
    start_pts_ns=0,
    boot_counter=1,
    mono_ns=0,
    wall_ns=0,
    clock_trust="untrusted",
)


class Shelves:
    """Closed clips of one session; `free` is what the card has left beside them."""

    def __init__(self, folder: Path, clips: int, priority: Priority = "plain") -> None:
        self.keys, self.clock = Keys(), ManualClock()
        self.vault = make_vault(folder, self.keys, self.clock, fsync=fsync_of_the_card)
        self.spool = self.vault.spool
        self.clips = [self.put(number, priority) for number in range(clips)]
        self.free = 1 << 40
        self.taken = 0

    def put(self, number: int, priority: Priority = "plain") -> str:
        clip_id = f"{SESSION}-{number:04d}"
        clip = self.vault.open_clip(clip_id, ())
        part = fragments()[0]
        clip.put_fragment(part.content, part.start_pts_ns, part.end_pts_ns, part.frames)
        sheet = label_sheet(facts(), LabelBook[object]().view(0, 1, silent=True), [])  # type: ignore[arg-type]
        clip.close(sheet, priority)
        return clip_id

    def send(self, clip_id: str, *, received_s: float = 0) -> None:
        receipt = self.spool.path("outbox", clip_id) / "receipt.jws"
        receipt.write_text("x")
        os.utime(receipt, ns=(self.clock.wall_ns() + int(received_s * 1e9),) * 2)
        self.spool.move(clip_id, "outbox", "sent")

    def fill(self, missing_bytes: int) -> Callable[[], int]:
        """A card that lacks `missing_bytes`; what is deleted gives room again."""
        before = self._clips()

        def free() -> int:
            return (before - self._clips()) * CLIP_BYTES - missing_bytes

        return free

    def _clips(self) -> int:
        shelves: tuple[Shelf, ...] = ("outbox", "sent")
        return sum(len(self.spool.clips(shelf)) for shelf in shelves)

    def housekeeper(self, free: Callable[[], int] | None = None, **rule: object) -> Housekeeper:
        values: dict[str, object] = {"min_free_bytes": 0, "slack_bytes": CLIP_BYTES, **rule}
        return Housekeeper(
            self.spool,
            self.vault.state,
            Retention(**values),  # type: ignore[arg-type]
            self.clock,
            free or (lambda: self.free),
        )

    def ids(self, shelf: Shelf) -> list[int]:
        return [int(clip_id[-4:]) for clip_id in self.spool.clips(shelf)]


def test_sent_clips_make_room_oldest_first_and_as_much_as_the_slack(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 6)
    for number in (3, 1, 4, 2):
        shelves.send(shelves.clips[number], received_s=-10 * (number % 3))
    room = shelves.housekeeper(shelves.fill(CLIP_BYTES // 2)).tidy()
    # 2 has the oldest receipt, then 1 and 4; half a clip is missing and a whole one is slack.
    assert shelves.ids("sent") == [3, 4]
    assert shelves.ids("outbox") == [0, 5]
    assert room == CardRoom(
        free_bytes=CLIP_BYTES * 3 // 2,
        room_bytes=CLIP_BYTES * 3 // 2 + 2 * CLIP_BYTES,
        is_full=False,
    )


def test_a_card_full_of_unsent_clips_is_full_and_all_stay(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 4)
    room = shelves.housekeeper(shelves.fill(1)).tidy()
    assert (room.is_full, room.room_bytes, room.thinned) == (True, 0, ())
    assert shelves.ids("outbox") == [0, 1, 2, 3]


def test_a_full_card_is_full_until_there_is_the_slack(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 1)
    housekeeper = shelves.housekeeper()
    seen = []
    for shelves.free in (100, -1, 100, CLIP_BYTES - 1, CLIP_BYTES, 100):
        seen.append(housekeeper.tidy().is_full)
    assert seen == [False, True, True, True, False, False]


def test_the_budget_bounds_the_spool_however_much_is_free(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 4)
    shelves.send(shelves.clips[0])
    housekeeper = shelves.housekeeper(
        spool_budget_bytes=5 * CLIP_BYTES, slack_bytes=CLIP_BYTES // 2
    )
    first = housekeeper.tidy()
    assert not first.is_full
    assert 0 < first.room_bytes <= 2 * CLIP_BYTES
    # What is written between two looks counts at once.
    housekeeper.grew(CLIP_BYTES + KIB)
    assert housekeeper.is_full
    housekeeper.tidy()
    assert shelves.ids("sent") == [0]  # the look found what is really there
    shelves.put(4)
    shelves.put(5)
    shelves.put(6)
    housekeeper.grew(3 * CLIP_BYTES)
    assert housekeeper.tidy().is_full
    assert shelves.ids("sent") == []
    assert shelves.ids("outbox") == [1, 2, 3, 4, 5, 6]


def test_the_admin_may_have_plain_clips_thinned_and_the_record_names_them(
    tmp_path: Path,
) -> None:
    shelves = Shelves(tmp_path, 6)
    shelves.put(6, "marked")
    housekeeper = shelves.housekeeper(shelves.fill(CLIP_BYTES // 2), overwrite_unsent=True)
    room = housekeeper.tidy()
    assert not room.is_full
    assert shelves.ids("outbox") == [0, 2, 4, 5, 6]
    assert [clip.clip_id[-4:] for clip in room.thinned] == ["0001", "0003"]
    shelves.vault.put_record(record())
    item = open_item(shelves.spool, "outbox", f"{SESSION}-record", shelves.keys)
    lines = [line for line in item.lines if line.kind == "thinned"]
    assert [line.thinned for line in lines] == [shelves.clips[1], shelves.clips[3]]
    assert {(line.frames, line.cause) for line in lines} == {(fragments()[0].frames, THINNED)}
    assert [line.manifest_sha256 for line in lines] == [c.manifest_sha256 for c in room.thinned]
    # Named once: the next record says nothing of them.
    assert shelves.vault.state.thinned() == []


def test_marked_clips_and_records_are_never_thinned(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 3, "marked")
    shelves.vault.put_record(record())
    housekeeper = shelves.housekeeper(shelves.fill(10), overwrite_unsent=True)
    assert housekeeper.tidy().is_full
    assert len(shelves.spool.clips("outbox")) == 4


def test_nothing_is_thinned_while_sent_clips_give_room(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 4)
    shelves.send(shelves.clips[0])
    shelves.send(shelves.clips[1])
    room = shelves.housekeeper(shelves.fill(10), overwrite_unsent=True).tidy()
    assert (room.thinned, shelves.ids("outbox")) == ((), [2, 3])


def test_a_clip_that_the_uplink_took_first_is_not_called_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelves = Shelves(tmp_path, 4)
    monkeypatch.setattr(shelves.spool, "delete", lambda _clip_id, _shelf: False)
    housekeeper = shelves.housekeeper(shelves.fill(10), overwrite_unsent=True)
    assert housekeeper.tidy().thinned == ()
    assert shelves.vault.state.thinned() == []


def test_a_cut_at_any_step_of_thinning_never_hides_a_clip(
    tmp_path: Path, cut: Callable[..., Card]
) -> None:
    """Each clip is there at the end, or named in a signed line; never neither."""
    operation, finished = 0, False
    while not finished:
        operation += 1
        shelves = Shelves(tmp_path / str(operation), 4)
        housekeeper = shelves.housekeeper(shelves.fill(10), overwrite_unsent=True)
        shelves.vault.state.put_session(SESSION, encode(STUB))
        cut(operation)
        try:
            housekeeper.tidy()
            shelves.vault.put_record(record())
            finished = True
        except PowerCutError:
            cut()
            again = make_vault(tmp_path / str(operation), shelves.keys, shelves.clock, boot=2)
            recover_all(again)
        cut()
        item = open_item(shelves.spool, "outbox", f"{SESSION}-record", shelves.keys)
        named = {line.thinned for line in item.lines if line.kind == "thinned"}
        there = set(shelves.spool.clips("outbox")) - {f"{SESSION}-record"}
        assert named | there == set(shelves.clips)
        assert named & there == set()
    assert operation > 10


def test_a_clip_goes_by_its_age_only_once_it_is_sent(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 2)
    for clip_id in shelves.clips:
        manifest = shelves.spool.path("outbox", clip_id) / "manifest.json"
        os.utime(manifest, ns=(shelves.clock.wall_ns() - 7_200 * 10**9,) * 2)
    shelves.send(shelves.clips[0])
    shelves.housekeeper(max_age_s=10_000).tidy()
    assert shelves.ids("sent") == [0]
    shelves.housekeeper(max_age_s=3_600).tidy()
    assert shelves.ids("sent") == []
    assert shelves.ids("outbox") == [1]


def test_a_torn_note_is_mended_and_the_others_count(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path, 0)
    state = shelves.vault.state
    state.add_thinned(b'{"good":1}')
    path = tmp_path / "state" / "thinned.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn')
    assert state.thinned() == [b'{"good":1}']
    state.add_thinned(b'{"next":2}')
    assert state.thinned() == [b'{"good":1}', b'{"next":2}']
    shelves.vault.put_record(record())  # notes that say nothing are left out, not fatal
    assert state.thinned() == []
