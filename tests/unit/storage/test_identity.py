"""Boot counter and epoch: no id is ever given twice."""

from pathlib import Path

import pytest

from agent.errors import SpoolError
from agent.storage.identity import next_boot


def zeros(count: int) -> bytes:
    return bytes(count)


def test_boots_count_up_and_the_epoch_stays(tmp_path: Path) -> None:
    first = next_boot(tmp_path, random_bytes=zeros)
    second = next_boot(tmp_path, random_bytes=lambda count: b"\xff" * count)
    assert (first.epoch, first.boot) == ("0" * 16, 1)
    assert (second.epoch, second.boot) == ("0" * 16, 2)


def test_a_new_state_directory_begins_a_new_epoch(tmp_path: Path) -> None:
    one = next_boot(tmp_path / "a", random_bytes=zeros)
    other = next_boot(tmp_path / "b", random_bytes=lambda count: b"\x01" * count)
    assert one.epoch != other.epoch


def test_a_damaged_file_names_the_remedy(tmp_path: Path) -> None:
    next_boot(tmp_path, random_bytes=zeros)
    (tmp_path / "state" / "identity.json").write_bytes(b"rubbish")
    with pytest.raises(SpoolError, match="delete it"):
        next_boot(tmp_path, random_bytes=zeros)
