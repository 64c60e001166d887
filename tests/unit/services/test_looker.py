from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Rect
from agent.drivers.card_reader_fake import FakeCardReader
from agent.ipc.messages import CodeSeen, LensSeen
from agent.services.looker import Looker

WHOLE = Rect(0, 0, 640, 360)


def i420(luma: int) -> bytes:
    return bytes([luma]) * (640 * 360) + bytes([128]) * (640 * 180)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_frame_gives_the_state_of_the_lens_and_each_code_in_it() -> None:
    looker = Looker(FakeCardReader("one", "two"))
    looker.look(5, i420(90), 640, WHOLE)
    wait_for(lambda: looker.is_idle)
    assert looker.take() == [LensSeen(5, 0.0, 0.0), CodeSeen(5, "one"), CodeSeen(5, "two")]
    assert looker.take() == []
    looker.close()
    looker.close()


def test_only_the_part_with_the_picture_is_looked_at() -> None:
    class Shapes(FakeCardReader):
        def _read(self, luma: NDArray[np.uint8]) -> list[str]:
            return [f"{luma.shape[1]}x{luma.shape[0]} {luma.min()}"]

    looker = Looker(Shapes())
    picture = np.zeros((540, 640), np.uint8)
    picture[:360, 80:560] = 90
    looker.look(1, picture.tobytes(), 640, Rect(80, 0, 480, 360))
    wait_for(lambda: looker.is_idle)
    assert CodeSeen(1, "480x360 90") in looker.take()
    looker.close()


def test_frames_that_come_during_a_look_wait_for_nothing_and_the_newest_is_next() -> None:
    class Slow(FakeCardReader):
        began, go_on = Event(), Event()

        def _read(self, luma: NDArray[np.uint8]) -> list[str]:
            self.began.set()
            self.go_on.wait(20)
            return ["seen"]

    slow = Slow()
    looker = Looker(slow)
    looker.look(1, i420(90), 640, WHOLE)
    assert slow.began.wait(20)
    for pts_ns in (2, 3, 4):
        looker.look(pts_ns, i420(90), 640, WHOLE)
    slow.go_on.set()
    wait_for(lambda: looker.is_idle)
    assert [seen.pts_ns for seen in looker.take() if isinstance(seen, CodeSeen)] == [1, 4]
    looker.close()


def test_without_a_reader_the_lens_is_still_looked_at() -> None:
    looker = Looker(None)
    looker.look(1, i420(90), 640, WHOLE)
    wait_for(lambda: looker.is_idle)
    assert looker.take() == [LensSeen(1, 0.0, 0.0)]
    looker.close()
