"""docs/configuration.md says what the settings' structs say."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from firmware_tools import config_reference
from firmware_tools.config_reference import TARGET, reference


def test_page_in_the_repository_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_ranges_defaults_and_choices_come_from_the_structs() -> None:
    page = reference()
    assert "| `pre_roll_s` | number, 0 to 120 | `30` |" in page
    assert '| `kind` | `"camera"`, `"desk"` | `"camera"` |' in page
    assert "| `device_id` | text matching `^[A-Za-z0-9_-]{1,40}$` | *required* |" in page
    assert '| `providers` | list of text | `["CPUExecutionProvider"]` |' in page


def test_setting_without_a_sentence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(config_reference.AGENT, "camera.width")
    with pytest.raises(ConfigError, match=r"camera\.width: has no sentence"):
        reference()


def test_sentence_without_a_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config_reference.AGENT, "camera.colour", "Gone.")
    with pytest.raises(ConfigError, match=r"camera\.colour: is no setting any more"):
        reference()
