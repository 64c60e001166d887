"""The writer thread: everything that touches the card while recording, so that capture never waits.

Jobs go in order through one queue. A job that the card refuses fails its clip alone: the clip is
left as it is and closed by `recovery.recover_item` as soon as the card takes writes again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agent.errors import AgentError
from agent.media.fragments import Fragment
from agent.services.housekeeping import CardRoom, Housekeeper
from agent.services.keyring import KeyNote
from agent.services.recovery import recover_item
from agent.services.vault import SealedClip, SessionStub, Vault
from agent.wire.codec import encode
from agent.wire.label_sheet import FragmentLabels, Gap, LabelSheet, SessionRecord
from agent.wire.manifest import Priority

log = logging.getLogger("writer")

ClipKey: TypeAlias = tuple[int, int]
_STALL_NS = 1_000_000_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SessionJob(msgspec.Struct, frozen=True):
    """What is kept of a session changed: it began, was stopped, or ended."""

    stub: SessionStub


class FragmentJob(msgspec.Struct, frozen=True, kw_only=True):
    """The first fragment of a clip makes the clip's directory. `counted`: it came live and counts
    against the queue's bound; the pre-roll lay in RAM before and does not."""

    key: ClipKey
    clip_id: str
    fragment: Fragment
    gaps: tuple[Gap, ...]
    counted: bool

    @property
    def duration_ns(self) -> int:
        return self.fragment.end_pts_ns - self.fragment.start_pts_ns


class LabelsJob(msgspec.Struct, frozen=True):
    key: ClipKey
    labels: FragmentLabels


class CloseClipJob(msgspec.Struct, frozen=True):
    key: ClipKey
    sheet: LabelSheet
    priority: Priority


class RecordJob(msgspec.Struct, frozen=True):
    session: int
    record: SessionRecord


class TidyJob(msgspec.Struct, frozen=True):
    """Retention, orders about keys, and another try with what failed."""


Job: TypeAlias = SessionJob | FragmentJob | LabelsJob | CloseClipJob | RecordJob | TidyJob


class FragmentKept(msgspec.Struct, frozen=True):
    """Safe on the card."""

    key: ClipKey
    end_pts_ns: int
    frames: int


class ClipLeft(msgspec.Struct, frozen=True):
    """The clip is in the outbox, or given up (`head` is None)."""

    key: ClipKey
    clip_id: str
    head: str | None
    recovered: bool = False


class ClipFailed(msgspec.Struct, frozen=True):
    """The card refused; nothing more of this clip will be written before its recovery."""

    key: ClipKey
    cause: str
    card_full: bool


class RecordLeft(msgspec.Struct, frozen=True):
    session: int
    session_id: str
    head: str | None


class CardState(msgspec.Struct, frozen=True):
    """`is_full`: under the bound that retention keeps free, with nothing left to delete.
    `room_bytes`: what footage may still take, clips with a receipt counted as room."""

    free_bytes: int
    is_full: bool
    room_bytes: int = 0


class ClipThinned(msgspec.Struct, frozen=True):
    """An unsent clip was given up for room."""

    clip_id: str
    cause: str


Result: TypeAlias = (
    FragmentKept | ClipLeft | ClipFailed | RecordLeft | CardState | ClipThinned | KeyNote
)


class CardWriter:
    """`submit` and `take_results` from the service's thread; `work` runs on the writer's own."""

    def __init__(self, vault: Vault, housekeeper: Housekeeper, wake: Callable[[], None]) -> None:
        self._vault, self._housekeeper, self._wake = vault, housekeeper, wake
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._results: deque[Result] = deque()
        self._clips: dict[ClipKey, SealedClip] = {}
        self._failed: dict[ClipKey, str] = {}
        # Failed once: what still comes for such a clip must not open it anew.
        self._given_up: set[ClipKey] = set()
        self._failed_records: dict[int, SessionRecord] = {}
        self._counted_ns = 0
        self._queued_ns = 0
        self._busy = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="card-writer", daemon=True)
        self.stalls = 0

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Job) -> None:
        with self._changed:
            self._jobs.append(job)
            if isinstance(job, FragmentJob):
                self._queued_ns += job.duration_ns
                self._counted_ns += job.duration_ns if job.counted else 0
            self._changed.notify_all()

    @property
    def queued_s(self) -> float:
        """Seconds of footage that are not on the card yet, the pre-roll included."""
        return self._queued_ns / 1e9

    @property
    def counted_s(self) -> float:
        """The same without pre-roll: what the queue's bound is compared with."""
        return self._counted_ns / 1e9

    @property
    def is_idle(self) -> bool:
        with self._changed:
            return not self._jobs and not self._busy

    def take_results(self) -> list[Result]:
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._results.popleft())
        return taken

    def close(self, timeout_s: float) -> bool:
        """Finish the queue and end the thread; False when the card did not let it in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def work(self) -> bool:
        """Do the next job, if there is one. The thread's body; a test may call it instead."""
        with self._changed:
            if not self._jobs:
                return False
            job = self._jobs.popleft()
            self._busy = True
        began_ns = self._vault.clock.boot_ns()
        try:
            self._do(job)
        finally:
            with self._changed:
                self._busy = False
                if isinstance(job, FragmentJob):
                    self._queued_ns -= job.duration_ns
                    self._counted_ns -= job.duration_ns if job.counted else 0
            if self._vault.clock.boot_ns() - began_ns > _STALL_NS:
                self.stalls += 1
            self._wake()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._stopping:
                    self._changed.wait()
                if not self._jobs:
                    return
            self.work()

    def _do(self, job: Job) -> None:
        try:
            self._carry_out(job)
            self._results.extend(self._vault.key_notes())
        except Exception as exc:  # the thread must outlive whatever one job brings
            if not isinstance(exc, (OSError, AgentError)):
                log.exception("job failed")
            self._refused(job, exc)

    def _carry_out(self, job: Job) -> None:
        match job:
            case SessionJob(stub):
                self._vault.state.put_session(stub.session_id, encode(stub))
            case FragmentJob():
                if job.key not in self._given_up:
                    self._keep_fragment(job)
            case LabelsJob(key, labels):
                if key in self._clips:
                    self._clips[key].put_labels(labels)
            case CloseClipJob(key, sheet, priority):
                if key in self._clips:
                    head = self._clips[key].close(sheet, priority)
                    del self._clips[key]
                    self._results.append(ClipLeft(key, sheet.clip_id, head))
            case RecordJob(session, record):
                head = self._vault.put_record(record)
                self._record_left(session, record, head)
            case TidyJob():
                self._tidy()

    def _keep_fragment(self, job: FragmentJob) -> None:
        clip = self._clips.get(job.key)
        if clip is None:
            clip = self._vault.open_clip(job.clip_id, job.gaps)
            self._clips[job.key] = clip
        part = job.fragment
        clip.put_fragment(part.content, part.start_pts_ns, part.end_pts_ns, part.frames)
        self._results.append(FragmentKept(job.key, part.end_pts_ns, part.frames))
        self._housekeeper.grew(len(part.content))
        if self._housekeeper.is_full:
            self._tell_room(self._housekeeper.tidy())

    def _tidy(self) -> None:
        """Retention first: the space it makes may be what the rest was refused for."""
        room = self._housekeeper.tidy()
        self._vault.renew_keys()
        for key, clip_id in list(self._failed.items()):
            done = recover_item(self._vault, clip_id, "the card refused a write")
            del self._failed[key]
            head = None if done.head is None else done.head.line_sha256
            self._results.append(ClipLeft(key, clip_id, head, recovered=True))
        for session, record in list(self._failed_records.items()):
            done = recover_item(self._vault, f"{record.session_id}-record", "")
            if done.head is None:
                head = self._vault.put_record(record)
            else:
                head = done.head.line_sha256
                self._vault.state.drop_session(record.session_id)
            del self._failed_records[session]
            self._record_left(session, record, head)
        self._tell_room(room)

    def _record_left(self, session: int, record: SessionRecord, head: str) -> None:
        self._given_up = {key for key in self._given_up if key[0] != session}
        self._results.append(RecordLeft(session, record.session_id, head))

    def _tell_room(self, room: CardRoom) -> None:
        for clip in room.thinned:
            self._results.append(ClipThinned(clip.clip_id, clip.cause))
        self._results.append(CardState(room.free_bytes, room.is_full, room.room_bytes))

    def _refused(self, job: Job, exc: Exception) -> None:
        full = isinstance(exc, OSError) and exc.errno in _FULL
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        cause = "card full" if full else f"card error: {reason}"
        log.error("%s refused: %s", type(job).__name__, cause)
        match job:
            case FragmentJob() | LabelsJob() | CloseClipJob():
                clip_id = job.clip_id if isinstance(job, FragmentJob) else ""
                clip = self._clips.pop(job.key, None)
                self._given_up.add(job.key)
                self._failed[job.key] = clip.clip_id if clip is not None else clip_id
                self._results.append(ClipFailed(job.key, cause, full))
            case RecordJob(session, record):
                self._failed_records[session] = record
            case SessionJob() | TidyJob():
                free_bytes = 0
                with contextlib.suppress(OSError):
                    free_bytes = self._housekeeper.free_bytes()
                self._results.append(CardState(free_bytes, full))
