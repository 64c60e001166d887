from __future__ import annotations

from pathlib import Path

from agent.storage.recorder_state import RecorderState


def test_what_was_put_is_found_at_the_next_start(tmp_path: Path) -> None:
    state = RecorderState(tmp_path)
    state.prepare()
    assert state.custody_head() is None
    state.put_custody_head(b"head")
    state.put_session("s1", b"one")
    state.put_session("s2", b"two")
    state.drop_session("s1")
    state.drop_session("s1")
    again = RecorderState(tmp_path)
    assert again.custody_head() == b"head"
    assert again.sessions() == {"s2": b"two"}
