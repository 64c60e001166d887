"""`make demo`, shortened: it ends well, shows what arrived, and leaves nothing running."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenario.evidence import stack_traces
from tests.scenario.processes import command_lines

pytestmark = pytest.mark.scenario

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_prints_the_clips_that_arrived_and_leaves_nothing_running(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    options = ("--seconds", "8", "--pre-roll", "3", "--out", str(out))
    ran = subprocess.run(
        [sys.executable, "-m", "firmware_tools.demo", *options],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    assert not stack_traces(ran.stdout + ran.stderr)
    assert not command_lines(tmp_path)
    lines = ran.stdout.splitlines()
    assert lines[0].split()[:4] == ["session", "clip", "seconds", "pre-roll"]
    first = next(line for line in lines if line.startswith("1.1 "))
    seconds, pre_roll_s, coverage = re.findall(r"(\d+\.\d+) +(\d+\.\d+) s +(\d+)%", first)[0]
    assert float(seconds) >= 8 + 3
    assert 3 <= float(pre_roll_s) < 4.1
    assert int(coverage) > 50
    assert "declared scenario=hostage" in ran.stdout
    assert "mark at" in ran.stdout
    # The folders that it names hold what it says they hold.
    (store,) = [line.split(": ")[1] for line in lines if line.startswith("MP4s and label sheets")]
    assert len(list(Path(store).glob("*/*/clip.mp4"))) >= 1
    assert "killed" not in ran.stderr
