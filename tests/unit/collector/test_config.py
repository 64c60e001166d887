"""The collector's configuration: every mistake is one line that names file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from collector.config import load_collector_settings

GOOD = '[collector]\nname = "c1"\nstore_dir = "store"\n'


def _written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "collector.toml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = GOOD + '[keys]\nage_identity_files = ["a.txt", "/b.txt"]\n'
    settings = load_collector_settings(_written(tmp_path, text))
    assert settings.collector.store_dir == tmp_path / "store"
    assert settings.broker.ca_file == tmp_path / "tls" / "ca.pem"
    assert settings.keys.age_identity_files == (tmp_path / "a.txt", Path("/b.txt"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[collector]\nname = "c1"\n', "collector"),
        (GOOD + "[broker]\nport = 99999\n", "broker.port"),
        (GOOD + '[broker]\nport = "x"\n', "broker.port"),
        (GOOD + "[broker]\nprot = 1\n", "broker.prot"),
        (GOOD + "[transfer]\nwindow_bytes = 1\n", "transfer.window_bytes"),
        (GOOD + "[keys]\nage_identity_files = []\n", "keys.age_identity_files"),
        (
            GOOD + "[transfer]\npart_bytes_min = 65536\npart_bytes_max = 32768\n",
            "transfer.part_bytes_min",
        ),
        ('[collector]\nname = "a b"\nstore_dir = "s"\n', "collector.name"),
        ("[colector]\n", ""),
        ("name = ", ""),
    ],
)
def test_mistake_names_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    file = _written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_collector_settings(file)
    assert str(file) in str(caught.value)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)
