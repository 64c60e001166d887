"""The writer's work, job by job: what the card refuses costs one clip's newest footage only."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import Retention
from agent.core.label_book import LabelBook
from agent.services.housekeeping import Housekeeper
from agent.services.sheet import label_sheet
from agent.services.vault import SessionStub, Vault
from agent.services.writer import (
    CardState,
    CardWriter,
    ClipFailed,
    ClipLeft,
    CloseClipJob,
    FragmentJob,
    FragmentKept,
    RecordJob,
    RecordLeft,
    SessionJob,
    TidyJob,
)
from tests.clock import ManualClock
from tests.recorder_rig import SESSION, Keys, make_vault, open_item
from tests.unit.services.test_recovery import CLIP, RECORD, facts, fragments, record

KEY = (1, 0)


class Failing:
    """An fsync that fails while `error` is set."""

    def __init__(self) -> None:
        self.error: int | None = None

    def __call__(self, descriptor: int) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))


class Bench:
    """A writer without its thread; `do` carries out one job and gives what came of it."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int] = lambda: 1 << 40) -> None:
        self.keys, self.card = Keys(), Failing()
        self.clock = ManualClock()
        self.vault: Vault = make_vault(folder, self.keys, self.clock, fsync=self.card)
        housekeeper = Housekeeper(
            self.vault.spool, self.vault.state, Retention(), self.clock, free_bytes
        )
        self.writer = CardWriter(self.vault, housekeeper, lambda: None)

    def do(self, *jobs: object) -> list[object]:
        for job in jobs:
            self.writer.submit(job)  # type: ignore[arg-type]
        while self.writer.work():
            pass
        return list(self.writer.take_results())

    def clip(self) -> int:
        return open_item(self.vault.spool, "outbox", CLIP, self.keys).frames


def fragment(index: int, *, counted: bool = True) -> FragmentJob:
    return FragmentJob(key=KEY, clip_id=CLIP, fragment=fragments()[index], gaps=(), counted=counted)


def close() -> CloseClipJob:
    view = LabelBook[object]().view(0, 1, silent=True)
    return CloseClipJob(KEY, label_sheet(facts(), view, []), "plain")  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_each_fragment_is_reported_once_it_is_safe(bench: Bench) -> None:
    kept = [FragmentKept(KEY, part.end_pts_ns, part.frames) for part in fragments()]
    assert bench.do(*map(fragment, range(3))) == kept
    (left,) = bench.do(close())
    assert isinstance(left, ClipLeft)
    assert left.head is not None
    assert bench.clip() == 15


def test_the_queue_is_measured_in_seconds_and_the_pre_roll_is_not_counted(bench: Bench) -> None:
    bench.writer.submit(fragment(0, counted=False))
    bench.writer.submit(fragment(1))
    assert (bench.writer.queued_s, bench.writer.counted_s) == (2.0, 1.0)
    bench.do()
    assert (bench.writer.queued_s, bench.writer.counted_s) == (0.0, 0.0)


@pytest.mark.parametrize(("error", "full"), [(errno.EIO, False), (errno.ENOSPC, True)])
def test_a_refused_fragment_fails_its_clip_and_what_was_safe_is_sent(
    bench: Bench, error: int, full: bool
) -> None:
    bench.do(fragment(0))
    bench.card.error = error
    (failed,) = bench.do(fragment(1))
    assert isinstance(failed, ClipFailed)
    assert failed.card_full is full
    assert bench.do(fragment(2), close()) == []
    bench.do(TidyJob())
    assert bench.vault.spool.clips("outbox") == []
    bench.card.error = None
    left, _ = bench.do(TidyJob())
    assert isinstance(left, ClipLeft)
    assert (left.recovered, left.clip_id) == (True, CLIP)
    assert bench.clip() == 5
    assert bench.do(fragment(2), close()) == []
    assert bench.vault.spool.clips("recording") == []


def test_a_clip_without_a_safe_fragment_is_given_up(bench: Bench) -> None:
    bench.card.error = errno.EIO
    bench.do(fragment(0))
    bench.card.error = None
    left, _ = bench.do(TidyJob())
    assert left == ClipLeft(KEY, CLIP, None, recovered=True)
    assert os.listdir(bench.vault.spool.root / "recording") == []


def test_a_refused_record_is_written_later(bench: Bench) -> None:
    bench.do(
        SessionJob(
            SessionStub(
                session_id=SESSION,
                start_pts_ns=0,
                boot_counter=1,
                mono_ns=0,
                wall_ns=0,
                clock_trust="untrusted",
            )
        )
    )
    bench.card.error = errno.EIO
    assert bench.do(RecordJob(1, record())) == []
    bench.card.error = None
    left, _ = bench.do(TidyJob())
    assert isinstance(left, RecordLeft)
    assert open_item(bench.vault.spool, "outbox", RECORD, bench.keys).record == record()
    assert bench.vault.state.sessions() == {}


def test_a_mistake_in_one_job_does_not_end_the_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(bench.vault, "open_clip", broken)
    (failed,) = bench.do(fragment(0))
    assert isinstance(failed, ClipFailed)
    assert "a mistake" in failed.cause


def test_the_oldest_stored_clips_go_for_space_and_unsent_ones_never(tmp_path: Path) -> None:
    free = [1 << 40]
    bench = Bench(tmp_path, free_bytes=lambda: free[0])
    bench.do(*map(fragment, range(3)), close())
    bench.do(RecordJob(1, record()))
    spool = bench.vault.spool
    (spool.path("outbox", CLIP) / "receipt.jws").write_text("x")
    spool.move(CLIP, "outbox", "sent")
    free[0] = 1000
    state = bench.do(TidyJob())[-1]
    assert state == CardState(1000, is_full=True)
    assert spool.clips("sent") == []
    assert spool.clips("outbox") == [RECORD]


def test_a_clip_is_deleted_when_it_was_kept_long_enough(bench: Bench) -> None:
    bench.do(*map(fragment, range(3)), close())
    spool = bench.vault.spool
    receipt = spool.path("outbox", CLIP) / "receipt.jws"
    receipt.write_text("x")
    os.utime(receipt, ns=(bench.clock.wall_ns(),) * 2)
    spool.move(CLIP, "outbox", "sent")
    bench.do(TidyJob())
    assert spool.clips("sent") == [CLIP]
    bench.clock.advance(86_401)
    bench.do(TidyJob())
    assert spool.clips("sent") == spool.clips("trash") == []
