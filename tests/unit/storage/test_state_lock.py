"""Two recorders on one card would recover each other's live clip: the second is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import SpoolError
from agent.storage.state_lock import hold_lock

HOLD = """
import signal, sys
from pathlib import Path
from agent.storage.state_lock import hold_lock
hold_lock(Path(sys.argv[1]), "recorder")
print("held", flush=True)
signal.pause()
"""


def test_a_second_holder_is_refused_in_one_line_with_the_remedy(tmp_path: Path) -> None:
    held = hold_lock(tmp_path, "recorder")
    with pytest.raises(SpoolError, match=r"another recorder is at work on .*stop it first"):
        hold_lock(tmp_path, "recorder")
    os.close(held)
    os.close(hold_lock(tmp_path, "recorder"))


def test_recorder_and_uplink_do_not_shut_each_other_out(tmp_path: Path) -> None:
    held = [hold_lock(tmp_path, "recorder"), hold_lock(tmp_path, "uplink")]
    for descriptor in held:
        os.close(descriptor)


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SpoolError):
            hold_lock(tmp_path, "recorder")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    os.close(hold_lock(tmp_path, "recorder"))


def test_a_card_that_refuses_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file where the folder should be")
    with pytest.raises(SpoolError, match=r"paths\.state_dir"):
        hold_lock(tmp_path, "recorder")
