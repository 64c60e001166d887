"""Labels for open clips: a sidecar per fragment within the grace, the sheet when the clip closes.

Waiting ends as soon as every due frame is answered, and at the grace at the latest: what is not
known then is stated as lost coverage.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.label_book import LabelBook
from agent.core.rarity import LabelRarity
from agent.media.fragments import Fragment
from agent.ports.clock import Clock
from agent.services.session_track import ClipTrack, Names, PendingLabels
from agent.services.sheet import fragment_labels, label_sheet, priority_of
from agent.services.writer import CardWriter, ClipKey, CloseClipJob, LabelsJob
from agent.wire.label_sheet import ModelProvenance


class ClipLabeller:
    """Holds the clips that wait for their labels. `is_silent`: no tagger was heard lately."""

    def __init__(
        self,
        book: LabelBook[ModelProvenance],
        writer: CardWriter,
        names: Names,
        clock: Clock,
        *,
        grace_ns: int,
        is_silent: Callable[[], bool],
    ) -> None:
        self._book, self._writer, self._names, self._clock = book, writer, names, clock
        self._grace_ns = grace_ns
        self._is_silent = is_silent
        self._rarity = LabelRarity()
        self.waiting: list[ClipTrack] = []

    def fragment_kept(self, clip: ClipTrack, fragment: Fragment) -> None:
        """The fragment went to the writer: its labels follow within the grace."""
        clip.pending.append(
            PendingLabels(
                index=fragment.index,
                start_pts_ns=fragment.start_pts_ns,
                end_pts_ns=fragment.end_pts_ns,
                frames=fragment.frames,
                deadline_ns=self._clock.boot_ns() + self._grace_ns,
            )
        )

    def clip_ended(self, clip: ClipTrack) -> None:
        """No more fragments come: the sheet follows within the grace."""
        clip.close_deadline_ns = self._clock.boot_ns() + self._grace_ns
        self.waiting.append(clip)

    def track(self, key: ClipKey) -> ClipTrack | None:
        return next((clip for clip in self.waiting if clip.key == key), None)

    def hurry(self, grace_ns: int) -> None:
        """The clips that have ended wait no longer than `grace_ns` from now."""
        limit = self._clock.boot_ns() + grace_ns
        for clip in self.waiting:
            clip.close_deadline_ns = min(clip.close_deadline_ns, limit)

    def tick(self, recording: ClipTrack | None) -> bool:
        """Write what is due, also of the clip being recorded. True if anything was written."""
        now = self._clock.boot_ns()
        done = False
        for clip in self.waiting if recording is None else [*self.waiting, recording]:
            done = self._write_sidecars(clip, now) or done
        for clip in [clip for clip in self.waiting if self._is_due(clip, now)]:
            self.waiting.remove(clip)
            if not clip.failed:  # the writer recovers a failed one, and says so
                self._close(clip)
            done = True
        return done

    def _write_sidecars(self, clip: ClipTrack, now: int) -> bool:
        written = False
        while clip.pending:
            due = clip.pending[0]
            if not self._book.is_answered(due.end_pts_ns) and now < due.deadline_ns:
                break
            clip.pending.popleft()
            if clip.failed:
                continue
            labels = fragment_labels(
                clip.facts(self._names),
                self._book.view(due.start_pts_ns, due.end_pts_ns, silent=self._is_silent()),
                clip.session.marks,
                index=due.index,
                start_pts_ns=due.start_pts_ns,
                end_pts_ns=due.end_pts_ns,
                frames=due.frames,
            )
            self._writer.submit(LabelsJob(clip.key, labels))
            written = True
        return written

    def _is_due(self, clip: ClipTrack, now: int) -> bool:
        late = clip.failed or now >= clip.close_deadline_ns
        return late or self._book.is_answered(clip.end_pts_ns)

    def _close(self, clip: ClipTrack) -> None:
        view = self._book.view(clip.start_pts_ns, clip.end_pts_ns, silent=self._is_silent())
        sheet = label_sheet(clip.facts(self._names), view, clip.session.marks)
        clip.session.described.append((clip.start_pts_ns, clip.end_pts_ns))
        self._writer.submit(CloseClipJob(clip.key, sheet, priority_of(sheet, self._rarity)))
