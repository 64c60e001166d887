"""Single lines of the doctor's table, over boards made up and settings of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Camera, Cards, Device, Encoder, Governor, Paths, Recorder, Settings, Trust
from agent.config.hands import Button, Indicator
from agent.doctor import Finding, Visit, examine_part
from firmware_tools.dev_fleet import Fleet
from tests.card_maker import write_footage


def settings_of(folder: Path, **sections: Any) -> Settings:
    return Settings(
        device=Device(device_id="cam01", kind="desk"),
        paths=Paths(state_dir=folder / "state", runtime_dir=folder / "run"),
        **sections,
    )


def look(part: str, settings: Settings, sys_dir: Path = Path("/sys")) -> Finding:
    return examine_part(part, Visit(settings, None, sys_dir))


def board(folder: Path, millidegrees: str, throttled: str = "") -> Path:
    zone = folder / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text(f"{millidegrees}\n")
    if throttled:
        file = folder / "devices" / "platform" / "soc" / "soc:firmware" / "get_throttled"
        file.parent.mkdir(parents=True)
        file.write_text(f"{throttled}\n")
    return folder


@pytest.mark.parametrize(
    ("millidegrees", "throttled", "state", "fact"),
    [
        ("51234", "0", "good", "51 °C"),
        ("77000", "0", "warn", "77 °C: scoring slows down"),
        ("51234", "50005", "warn", "slowed down: under-voltage, throttled"),
        ("x", "", "warn", "shows no temperature"),
    ],
)
def test_heat_and_voltage_are_said(
    millidegrees: str, throttled: str, state: str, fact: str, tmp_path: Path
) -> None:
    sys_dir = board(tmp_path / "sys", millidegrees, throttled)
    line = look("board", settings_of(tmp_path), sys_dir)
    assert (line.state, bool(line.remedy)) == (state, state != "good")
    assert fact in line.fact


def test_board_that_is_not_watched_misses_nothing(tmp_path: Path) -> None:
    off = settings_of(tmp_path, governor=Governor(driver="none"))
    assert look("board", off).state == "good"


@pytest.mark.parametrize("part", ["microphone", "button", "LED"])
def test_part_that_is_not_there_is_said_as_such(part: str, tmp_path: Path) -> None:
    line = look(part, settings_of(tmp_path))
    assert line.state == "good"
    assert line.fact.startswith("none configured")


def test_button_and_lamps_that_are_configured_are_tried(tmp_path: Path) -> None:
    leds = tmp_path / "leds"
    for name in ("red:status", "motor"):
        (leds / name).mkdir(parents=True)
        for file in ("brightness", "max_brightness", "trigger"):
            (leds / name / file).write_text("1\n" if file == "max_brightness" else "0\n")
    indicator = Indicator(driver="sysfs", red="red:status", motor="motor", leds_dir=leds)
    (tmp_path / "run").mkdir()
    settings = settings_of(tmp_path, indicator=indicator, button=Button(driver="pipe"))
    assert look("LED", settings).fact == "sysfs: motor, red, all on for 0.5 s just now"
    assert look("button", settings).fact.endswith("; start double, stop hold, mark single")
    gone = msgspec.structs.replace(indicator, red="blue")
    line = look("LED", msgspec.structs.replace(settings, indicator=gone))
    assert (line.state, bool(line.remedy)) == ("bad", True)
    assert "blue" in line.fact


def test_camera_behind_a_cap_is_a_warning_that_says_so(tmp_path: Path) -> None:
    black = np.full((360, 640), 16, np.uint8)
    footage = write_footage(tmp_path / "black.mp4", [black] * 45)
    camera = Camera(footage=footage, width=640, height=360, frame_rate_hz=15)
    line = look("camera", settings_of(tmp_path, camera=camera))
    assert (line.state, line.remedy) == ("warn", "take off the cap, or let some light in")
    assert "lens covered" in line.fact


def test_encoder_says_how_long_a_frame_takes_and_how_long_it_may(tmp_path: Path) -> None:
    camera = Camera(width=320, height=240, frame_rate_hz=120)
    line = look("encoder", settings_of(tmp_path, camera=camera, encoder=Encoder(threads=1)))
    assert "libx264" in line.fact
    assert "8.3 ms are there" in line.fact


@pytest.mark.parametrize("cards", [True, False])
def test_scenario_cards_say_whose_count(cards: bool, tmp_path: Path, fleet: Fleet) -> None:
    files = fleet.device("cam01")
    trust = Trust(
        recipients_file=files.recipients_file,
        receipt_key_file=files.receipt_key_file,
        custody_key_file=files.custody_key_file,
    )
    settings = settings_of(
        tmp_path, trust=trust, cards=Cards(read=cards), recorder=Recorder(require_plan=True)
    )
    line = look("scenario cards", settings)
    assert "a session plan is compulsory" in line.fact
    if not cards:
        assert line.state == "good"
        return
    assert line.state == "warn"
    assert "every card is ignored" in line.fact
    public = Ed25519PrivateKey.generate().public_key()
    key_file = tmp_path / "card.pub.pem"
    key_file.write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    known = msgspec.structs.replace(
        settings, trust=msgspec.structs.replace(trust, card_key_file=key_file)
    )
    assert look("scenario cards", known).state == "good"
    key_file.write_text("rubbish")
    assert look("scenario cards", known).state == "bad"


def test_accelerator_is_not_blamed_for_a_missing_model(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert look("model", settings).state == "bad"
    line = look("accelerator", settings)
    assert line.state == "warn"
    assert "no model opens" in line.fact
