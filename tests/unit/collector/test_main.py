"""The program from outside: exit codes and its one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.__main__ import main
from firmware_tools.dev_fleet import Fleet


@pytest.fixture
def config(fleet: Fleet) -> Path:
    """A whole configuration beside the fleet's collector files."""
    file = fleet.collector.directory / "collector.toml"
    file.write_text(
        f'[collector]\nname = "{fleet.collector.collector_id}"\nstore_dir = "store"\n'
        f"[broker]\nport = {fleet.port}\n"
    )
    return file


def test_good_configuration_is_said_to_be_good(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--config", str(config)]) == 0
    assert "good" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["age-identity.txt", "receipt.key", "devices", "tls/collector.key"]
)
@pytest.mark.parametrize("command", ["check-config", "run"])
def test_missing_key_file_is_one_line_that_names_it(
    config: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.parent / name
    path.rename(path.with_name("gone"))

    code = main([command, "--config", str(config)])

    captured = capsys.readouterr()
    assert code == 1
    assert str(path) in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_missing_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--config", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
