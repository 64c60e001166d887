"""Training batches: short sequences drawn from cached clips, varied, in the order of the steps.

The batch of a step depends on the seed, the step and the clips alone: a resumed training goes on as
if it had never stopped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reference import recipe
from models.reference.augment import Variation
from models.reference.boxes import KINDS
from models.reference.cache import CachedClip

# Which label says that a kind of box is to be seen.
_LABEL_OF_KIND = {
    "hostile": "armed_hostile_visible",
    "civ": "civilian_visible",
    "hostage": "hostage_visible",
    "dead": "casualty_visible",
}
_IDS = [rule.id for rule in recipe.LABELS]
_AHEAD = 3


@dataclass(frozen=True)
class Batch:
    """`pictures` uint8 [n, time, h, w, 3], `truth` int8 [n, time, labels], `boxes` uint8 bits."""

    pictures: NDArray[np.uint8]
    truth: NDArray[np.int8]
    boxes: NDArray[np.uint8]


class Sequences:
    """Draws batches of `count` sequences of `time` consecutive frames.

    `rare_share` of the sequences end at a positive frame of a label drawn evenly; the others
    anywhere.
    """

    def __init__(
        self, clips: Sequence[CachedClip], *, count: int, time: int, rare_share: float, seed: int
    ) -> None:
        self._clips = [clip for clip in clips if len(clip.pts_ns) >= time]
        self.count, self._time, self._seed = count, time, seed
        self._rare_share = rare_share
        self._variation = Variation(*self._clips[0].pictures.shape[1:3])
        lengths = [len(clip.pts_ns) for clip in self._clips]
        self._owner = np.repeat(np.arange(len(lengths)), lengths)
        self._frame = np.concatenate([np.arange(n) for n in lengths])
        truth = np.concatenate([clip.truth for clip in self._clips])
        self._positives = [np.flatnonzero(column == 1) for column in truth.T]
        self._rare = [i for i, found in enumerate(self._positives) if len(found)]

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        draw = np.random.default_rng([self._seed, step])
        picked = [self._one(draw) for _ in range(self.count)]
        return Batch(
            pictures=np.stack([p for p, _, _ in picked]),
            truth=np.stack([t for _, t, _ in picked]),
            boxes=np.stack([b for _, _, b in picked]),
        )

    def from_step(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps [first, last), made by a thread while the network works."""
        ready: queue.Queue[Batch | BaseException] = queue.Queue(_AHEAD)
        stopped = threading.Event()

        def offer(item: Batch | BaseException) -> None:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    return
                except queue.Full:
                    continue

        def make() -> None:
            try:
                for step in range(first, last):
                    if stopped.is_set():
                        return
                    offer(self.batch(step))
            except Exception as exc:
                offer(exc)

        maker = threading.Thread(target=make, name="batches", daemon=True)
        maker.start()
        try:
            for _ in range(first, last):
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            maker.join()

    def _one(
        self, draw: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.uint8]]:
        if draw.random() < self._rare_share:
            found = self._positives[self._rare[int(draw.integers(len(self._rare)))]]
            at = int(found[int(draw.integers(len(found)))])
        else:
            at = int(draw.integers(len(self._owner)))
        clip = self._clips[int(self._owner[at])]
        last = max(int(self._frame[at]) + int(draw.integers(self._time)), self._time - 1)
        last = min(last, len(clip.pts_ns) - 1)
        span = slice(last + 1 - self._time, last + 1)
        before = clip.boxes[span]
        pictures, boxes = self._variation.vary(np.asarray(clip.pictures[span]), before, draw)
        truth = clip.truth[span].copy()
        _doubt_what_left(truth, before, boxes)
        return pictures, truth, boxes


def _doubt_what_left(
    truth: NDArray[np.int8], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> None:
    """Who was moved out of the picture makes the labels about people unknown, in place."""
    for i in range(len(truth)):
        had = np.bitwise_or.reduce(before[i], axis=None)
        left = int(had) & ~int(np.bitwise_or.reduce(after[i], axis=None))
        for bit in range(KINDS):
            if left >> bit & 1:
                column = _IDS.index(_LABEL_OF_KIND[recipe.BOX_KINDS[bit]])
                truth[i, column] = -1
                if recipe.BOX_KINDS[bit] != "dead":
                    truth[i, _IDS.index("person_visible")] = -1
