"""The power goes while a model is fetched, installed, activated or left: one that works is active.

A sample; `make crash` tries every disk.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import models, trace
from tests.crash.replay import in_memory

WHY_NOT = trace.why_not()
pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


def test_no_power_cut_costs_the_active_model_or_trust(tmp_path: Path) -> None:
    with in_memory() as scratch:
        tally = models.replay(models.record(tmp_path / "push"), scratch, every=6)
    assert tally.violations == []
    assert tally.tried.total() > 100


def test_an_installer_that_renames_without_a_sync_is_caught(tmp_path: Path) -> None:
    with in_memory() as scratch:
        broken = models.record(tmp_path / "push", fsync="folders")
        tally = models.replay(broken, scratch, every=6)
    assert [text for _row, text in tally.violations if "is there in part" in text]
