"""The table of the demo shows what is in the stored files, and nothing else."""

import json
from pathlib import Path

import pyrage
import pytest

from agent.errors import AgentError
from firmware_tools.demo_table import clip_table, read_clips
from tests.sample_clip import SampleDevice

SECOND_NS = 1_000_000_000


def store(folder: Path, *, stored_wall_ns: int) -> None:
    clip = SampleDevice("cam01", pyrage.x25519.Identity.generate().to_public()).clip()
    kept = folder / "store" / "cam01" / clip.manifest.session_id / clip.clip_id
    kept.mkdir(parents=True)
    (kept / "labels.json").write_bytes(clip.sheet or b"")
    (kept / "manifest.json").write_bytes(clip.manifest_body)
    (kept / "clip.mp4").write_bytes(clip.plain or b"")
    (kept / "receipt.json").write_text(json.dumps({"stored_wall_ns": stored_wall_ns}))


def test_a_row_states_clip_bytes_tags_marks_and_the_time_to_the_receipt(tmp_path: Path) -> None:
    store(tmp_path, stored_wall_ns=12 * SECOND_NS)
    (clip,) = read_clips(tmp_path)
    text = clip_table([clip], stopped_wall_ns=10 * SECOND_NS)
    assert "1.1" in text
    assert "2.0 s" in text
    assert "90,000" in text
    for tag in clip.sheet.tags:
        assert tag.label in text
    assert ("mark at" in text) == bool(clip.sheet.marks)


def test_a_receipt_before_the_stop_came_during_the_session(tmp_path: Path) -> None:
    store(tmp_path, stored_wall_ns=9 * SECOND_NS)
    assert "during" in clip_table(read_clips(tmp_path), stopped_wall_ns=10 * SECOND_NS)


def test_an_empty_store_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no clip arrived"):
        read_clips(tmp_path)
