from __future__ import annotations

import threading

from agent.drivers.handover import Handover


def test_items_come_out_in_order() -> None:
    handover: Handover[int] = Handover(3)
    for number in range(3):
        assert handover.put(number)
    assert [handover.get(0.0) for _ in range(4)] == [0, 1, 2, None]


def test_a_full_queue_makes_the_writer_wait_and_drops_nothing() -> None:
    handover: Handover[int] = Handover(2)
    writer = threading.Thread(target=lambda: [handover.put(number) for number in range(200)])
    writer.start()
    assert [handover.get(10.0) for _ in range(200)] == list(range(200))
    writer.join()


def test_close_frees_a_writer_that_waits_for_room() -> None:
    handover: Handover[int] = Handover(1)
    handover.put(1)
    outcome: list[bool] = []
    writer = threading.Thread(target=lambda: outcome.append(handover.put(2)))
    writer.start()
    handover.close()
    writer.join(10.0)
    assert outcome == [False]
    assert handover.get(0.0) is None
