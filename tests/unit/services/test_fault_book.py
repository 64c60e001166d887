"""Faults: one line a part, told once."""

from agent.services.fault_book import FaultBook


def test_a_line_is_told_when_it_is_new_and_not_again() -> None:
    told: list[str] = []
    faults = FaultBook(told.append)
    for text in ("gone", "gone", "still gone", ""):
        faults.judge("camera", text)
    assert told == ["gone", "still gone"]
    assert "camera" not in faults
    assert faults.lines() == []


def test_it_knows_whether_anything_else_is_wrong() -> None:
    faults = FaultBook(lambda _text: None)
    faults.judge("camera", "gone")
    assert not faults.any_but("camera", "card")
    faults.judge("keys", "old")
    assert faults.any_but("camera", "card")
    assert faults["keys"] == "old"
    faults.clear("keys")
    assert not faults.any_but("camera")
