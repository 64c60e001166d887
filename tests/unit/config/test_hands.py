"""Settings of button and indicator: what contradicts itself is refused with its remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import load_settings
from agent.config.hands import Button, Indicator, hands_contradictions
from tests.unit.config.test_loading import GOOD, refusal, write


def test_the_defaults_agree_with_each_other() -> None:
    assert list(hands_contradictions(Button(), Indicator())) == []


@pytest.mark.parametrize(
    ("extra", "named", "why"),
    [
        ('[button]\nstop = "double"', "button.stop", "button.start already"),
        ('[button]\nmark = "hold"', "button.mark", "button.stop already"),
        ('[button]\nstop = "none"', "button.stop", "could not be ended"),
        ("[button]\nhold_s = 1\npause_s = 0.8", "button.hold_s", "a slow press would be a hold"),
        ("[button]\npause_s = 0.05", "button.pause_s", "0.05"),
        ("[button]\nhold_s = 60", "button.hold_s", "60"),
        ('[button]\nstart = "wave"', "button.start", "wave"),
        ('[indicator]\ndriver = "sysfs"', "indicator.red", "no output is named"),
        ('[button]\ndriver = "gpiod"', "button.line", "needs the line's name"),
        ('[button]\ndriver = "gpiod"\nline = "17"', "button.line", "without the label"),
        ('[button]\ndriver = "evdev"', "button.device", "name or path"),
        ("[button]\ndebounce_s = 0.5", "button.debounce_s", "0.5"),
        ('[indicator]\ndriver = "gpiod"\nred = "5"', "indicator.red", "without the label"),
        ('[power]\nfailing_line = "6"', "power.failing_line", "without the label"),
        (
            '[button]\ndriver = "gpiod"\nline = "A"\n[indicator]\ndriver = "gpiod"\nred = "A"',
            "button.line",
            "the indicator has this line",
        ),
        (
            '[indicator]\ndriver = "sysfs"\nred = "ACT"\ngreen = "ACT"',
            "indicator.red",
            "same name",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, extra: str, named: str, why: str
) -> None:
    line = refusal(tmp_path, f"{GOOD}\n{extra}\n")
    assert named in line
    assert why in line


def test_a_camera_takes_no_button_of_words(tmp_path: Path) -> None:
    text = GOOD.replace('"desk"', '"camera"').replace('driver = "replay"\n', "")
    assert "real driver" in refusal(tmp_path, f'{text}\n[button]\ndriver = "pipe"\n')


def test_gestures_may_be_left_out(tmp_path: Path) -> None:
    extra = '[button]\nstart = "none"\nstop = "none"\nmute = "none"\nmark = "double"'
    settings = load_settings(write(tmp_path, f"{GOOD}\n{extra}\n"))
    assert settings.button.mark == "double"


def test_a_number_is_a_line_once_its_chip_is_named(tmp_path: Path) -> None:
    extra = '[button]\ndriver = "gpiod"\nchip = "pinctrl-rp1"\nline = "17"'
    assert load_settings(write(tmp_path, f"{GOOD}\n{extra}\n")).button.line == "17"


def test_every_example_of_the_wiring_page_is_accepted(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "hands.md"
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert len(examples) >= 3
    for example in examples:
        load_settings(write(tmp_path, f"{GOOD}\n{example}"))
