"""Drives a clip from its first whole file to its receipt.

One worker hashes and opens, another one syncs and stores: a clip waits for the disk while the next
one is computed. Both work in order, and a clip goes from the first to the second by the main
thread, so that only one of them ever has its builder.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.wire.transfer import ClipState, Later, Stored
from collector.admission import STORE_DELAY_S
from collector.answers import Answers
from collector.building import ClipBuilder
from collector.catalogue import Catalogue
from collector.errors import DamagedFileError, NotYetError, RefusedError, StoreError
from collector.finishing import Finisher, StoredClip
from collector.ongoing import Ongoing, OngoingClips
from collector.refusing import Refuser
from collector.report import Report
from collector.unsealing import Unsealer
from collector.workers import Then, Worker

_MAX_WHY = 500
_CLAIM_PATIENCE_S = 15.0


class Completion:
    """Used from the main thread; the jobs it submits touch only builder, store and catalogue."""

    def __init__(
        self,
        *,
        answers: Answers,
        clips: OngoingClips,
        catalogue: Catalogue,
        finisher: Finisher,
        refuser: Refuser,
        unsealer: Unsealer,
        syncer: Worker,
        opener: Worker,
        storer: Worker,
        report: Report,
        now_s: Callable[[], float],
    ) -> None:
        self._answers = answers
        self._clips = clips
        self._catalogue = catalogue
        self._finisher = finisher
        self._refuser = refuser
        self._unsealer = unsealer
        self._syncer = syncer
        self._opener = opener
        self._storer = storer
        self._report = report
        self._now_s = now_s
        self._jobs = 0

    @property
    def is_busy(self) -> bool:
        return self._jobs > 0

    def close(self) -> None:
        self._opener.stop()
        self._storer.stop()

    def proceed(self, ongoing: Ongoing) -> None:
        """Build what became whole; store the clip when all of it is durable.

        In a group nothing is built before the clip is complete, and then by one collector: so
        that two of them share the work in place of doing it twice."""
        if ongoing.is_finishing:
            return
        if ongoing.transfer.is_complete:
            self._finish(ongoing)
        elif not self._clips.is_shared and ongoing.new_whole_files():
            self._open(ongoing, finish=False)

    def _finish(self, ongoing: Ongoing) -> None:
        if self._clips.is_shared and not self._is_ours(ongoing):
            return
        ongoing.is_finishing = True
        self._open(ongoing, finish=True)

    def _is_ours(self, ongoing: Ongoing) -> bool:
        """In a group: True when this collector is the one to make the complete clip ready.

        A claim saves work and decides nothing: storing is exactly once without it. So one that is
        held for too long (its collector hangs) is passed over."""
        now_s, assembly = self._now_s(), ongoing.assembly
        if ongoing.complete_s is None:
            ongoing.complete_s = now_s
        try:
            if not assembly.claim() and now_s - ongoing.complete_s <= _CLAIM_PATIENCE_S:
                return False
            if not ongoing.catch_up():
                self.let_go(ongoing)
                return False
        except StoreError as error:
            self.put_off(ongoing, error)
            return False
        receipt = self._receipt(ongoing)
        if receipt is not None:  # stored by a collector that was killed before it could tidy up
            self._answer_stored(ongoing, receipt)
            self._discard(ongoing)
        elif not ongoing.transfer.is_complete:  # another one found a file damaged
            ongoing.complete_s = None
            assembly.release()
        return receipt is None and ongoing.transfer.is_complete

    def let_go(self, ongoing: Ongoing) -> None:
        """Forget a transfer without a word; what is on disk stays."""
        if ongoing.is_finishing:
            return
        self._clips.drop(ongoing)
        builder = ongoing.builder
        self._opener.submit(lambda: _closed(builder))

    def put_off(self, ongoing: Ongoing, error: StoreError | NotYetError) -> None:
        """Say `later` (or `stored`, when another collector was faster); the parts stay on disk.

        Nothing of this for a clip that is being stored: its parts are all durable, and another
        builder must not begin anew in its folder meanwhile."""
        if ongoing.is_finishing:
            return
        self.let_go(ongoing)
        sha256 = ongoing.verified.manifest_sha256
        receipt = self._receipt(ongoing)
        if receipt is not None:
            self._answer_stored(ongoing, receipt)
            return
        delay_s = error.delay_s if isinstance(error, NotYetError) else STORE_DELAY_S
        self._report.complain(f"later {ongoing.clip_id}", f"later: {ongoing.clip_id}: {error}")
        why = str(error)[:_MAX_WHY]
        self._send(ongoing, Later(manifest_sha256=sha256, delay_s=delay_s, why=why))

    def _open(self, ongoing: Ongoing, *, finish: bool) -> None:
        builder, written = ongoing.builder, ongoing.transfer.written_bytes

        def job() -> Then:
            try:
                if builder.failed:
                    return self._job_ended
                builder.advance(written)
            except Exception as exc:
                return self._broken(ongoing, builder, exc)
            return (lambda: self._opened(ongoing, builder)) if finish else self._job_ended

        self._jobs += 1
        self._opener.submit(job)

    def _opened(self, ongoing: Ongoing, builder: ClipBuilder) -> None:
        """All files of a clip are hashed, opened and written: store it."""
        verified, finisher = ongoing.verified, self._finisher

        def job() -> Then:
            stored: StoredClip
            try:
                if builder.failed:
                    return self._job_ended
                stored = finisher.store(builder, verified)
            except Exception as exc:
                return self._broken(ongoing, builder, exc)
            return lambda: self._stored(ongoing, stored)

        self._storer.submit(job)

    def _broken(self, ongoing: Ongoing, builder: ClipBuilder, error: Exception) -> Then:
        """In a worker: `builder` is of no more use."""
        builder.failed = True
        builder.close()
        return lambda: self._failed(ongoing, builder, error)

    def _job_ended(self) -> None:
        self._jobs -= 1

    def _stored(self, ongoing: Ongoing, stored: StoredClip) -> None:
        self._jobs -= 1
        verified = ongoing.verified
        self._answer_stored(ongoing, stored.receipt)
        for remark in stored.remarks:
            self._report.line(remark)
        self._report.event(
            "stored",
            clip_id=ongoing.clip_id,
            device_id=ongoing.device_id,
            folder=str(stored.folder),
            bytes=verified.manifest.total_bytes,
            seconds=round(self._now_s() - ongoing.began_s, 3),
        )
        self._discard(ongoing)

    def _answer_stored(self, ongoing: Ongoing, receipt: str) -> None:
        sha256 = ongoing.verified.manifest_sha256
        self._send(ongoing, Stored(manifest_sha256=sha256, receipt=receipt))
        self._clips.drop(ongoing)

    def _failed(self, ongoing: Ongoing, builder: ClipBuilder, error: Exception) -> None:
        self._jobs -= 1
        ongoing.is_finishing = False
        ongoing.complete_s = None
        ongoing.assembly.release()
        if ongoing.builder is not builder or not self._clips.holds(ongoing):
            return
        match error:
            case DamagedFileError(offset=offset) if offset not in ongoing.damaged:
                ongoing.damaged.add(offset)
                self._ask_again(ongoing, error)
            case DamagedFileError() | RefusedError():
                self._refuse(ongoing, RefusedError(str(error)))
            case StoreError() | NotYetError():
                self.put_off(ongoing, error)
            case _:
                self.put_off(ongoing, StoreError(f"unexpected failure ({error!r})"))

    def _ask_again(self, ongoing: Ongoing, error: DamagedFileError) -> None:
        """The parts of a damaged file count as never received; the clip is built anew."""
        self._report.line(f"{ongoing.clip_id}: {error}; asking for it again")
        transfer, assembly = ongoing.transfer, ongoing.assembly
        lost = transfer.forget(error.offset, error.length)

        def job() -> Then:
            try:
                assembly.record(lost=lost)
            except StoreError as exc:
                failure = exc
                return lambda: self.put_off(ongoing, failure)
            return transfer.forgotten

        # By the worker that records what was synced: so no sync from before can name them again.
        self._syncer.submit(job)
        ongoing.build_again(ClipBuilder(ongoing.assembly, ongoing.verified, self._unsealer))
        window = self._clips.window_bytes(ongoing.device_id, transfer.part_bytes, self._now_s())
        need = transfer.need(ongoing.verified.manifest_sha256, window or transfer.part_bytes)
        self._send(ongoing, need)

    def _refuse(self, ongoing: Ongoing, error: RefusedError) -> None:
        never = self._refuser.refuse(
            ongoing.device_id, ongoing.clip_id, ongoing.assembly.opened, error
        )
        self._send(ongoing, never)
        self._clips.drop(ongoing)
        self._discard(ongoing)

    def _discard(self, ongoing: Ongoing) -> None:
        """The parts are of no more use; deleting them is nobody's hurry."""
        assembly = ongoing.assembly

        def job() -> Then:
            try:
                assembly.discard()
            except StoreError as exc:
                text = str(exc)
                return lambda: self._report.line(text)
            return _nothing

        self._storer.submit(job)

    def _receipt(self, ongoing: Ongoing) -> str | None:
        try:
            return self._catalogue.receipt(ongoing.clip_id, ongoing.verified.manifest_sha256)
        except StoreError:
            return None

    def _send(self, ongoing: Ongoing, state: ClipState) -> None:
        self._answers.send(ongoing.device_id, ongoing.clip_id, state)


def _nothing() -> None:
    return


def _closed(builder: ClipBuilder) -> Then:
    builder.failed = True
    builder.close()
    return _nothing
