"""A new model beside the active one: on the same frames of sessions, do they say the same? Pure.

Not every frame is compared: two seconds of every eight, so that the new model's causal head sees
frames in a row and the camera pays a quarter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

_BURST_NS, _EVERY_NS = 2_000_000_000, 8_000_000_000
# Frames further apart than this are not one stretch of a session.
_LONGEST_STEP_NS = 1_000_000_000
_MINUTE_NS = 60_000_000_000


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared so far: time in sessions, frames, and per label on how many both agreed."""

    session_ns: int = 0
    frames: int = 0
    agreed: dict[str, int] = {}


class Shadow:
    """`active` and `new`: threshold of each label that the model has, in the order of its scores.
    Labels that both have are compared: at or above its own threshold, or below."""

    def __init__(
        self,
        minutes: int,
        active: Mapping[str, float],
        new: Mapping[str, float],
        tally: Tally | None = None,
    ) -> None:
        self._minutes = minutes
        self._shared = [
            (label, list(active).index(label), active[label], n, new[label])
            for n, label in enumerate(new)
            if label in active
        ]
        self._last_pts_ns: int | None = None
        self.tally = tally or Tally()

    @property
    def is_done(self) -> bool:
        return self.tally.session_ns >= self._minutes * _MINUTE_NS

    @property
    def worst(self) -> tuple[str, float]:
        """The label they agree least on, and its share of agreement; ("", 0) without frames."""
        frames = self.tally.frames
        shares = [(n / frames, label) for label, n in self.tally.agreed.items()] if frames else []
        return min(shares)[::-1] if shares else ("", 0.0)

    @property
    def line(self) -> str:
        label, share = self.worst
        minutes = self.tally.session_ns / _MINUTE_NS
        words = f"shadow {minutes:.0f} of {self._minutes} min, {self.tally.frames} frames"
        return f"{words}, least agreement {share:.1%} ({label})" if label else words

    def is_due(self, pts_ns: int) -> bool:
        """Count a frame of a session; True when the new model is to score it."""
        last, self._last_pts_ns = self._last_pts_ns, pts_ns
        if last is not None and 0 < pts_ns - last <= _LONGEST_STEP_NS:
            session_ns = self.tally.session_ns + pts_ns - last
            self.tally = msgspec.structs.replace(self.tally, session_ns=session_ns)
        return pts_ns % _EVERY_NS < _BURST_NS

    def compare(self, active: Sequence[float], new: Sequence[float]) -> None:
        """The scores of both on one frame."""
        agreed = dict(self.tally.agreed)
        for label, ours, our_threshold, theirs, their_threshold in self._shared:
            same = (active[ours] >= our_threshold) == (new[theirs] >= their_threshold)
            agreed[label] = agreed.get(label, 0) + same
        self.tally = msgspec.structs.replace(
            self.tally, frames=self.tally.frames + 1, agreed=agreed
        )
