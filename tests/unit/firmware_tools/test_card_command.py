"""`sightline card`, as whoever prints cards uses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.crypto.cards import read_card
from agent.crypto.keys import load_public_key, thumbprint
from agent.drivers.card_reader_opencv import OpenCvCardReader
from agent.wire.declaration import Declaration
from firmware_tools.sightline import main

WORDS = ["--scenario", "hostage", "--environment", "train", "--site", "site-12"]
PEOPLE = ["--trainer", "Jane Smith", "--consent", "form 7", "--consent", "form 8"]


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "office"
    assert main(["card", "new-key", str(folder)]) == 0
    assert "trust.card_key_file" in capsys.readouterr().out
    return folder


def make(keys: Path, out: Path, *words: str) -> int:
    return main(["card", "make", str(out), "--keys", str(keys), *words])


def register(keys: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (keys / "register.jsonl").read_text().splitlines()]


def read_back(page: Path, keys: Path) -> Declaration:
    """What a camera makes of the whole page, seen as large as its picture allows."""
    image = Image.open(page).convert("L")
    small = image.resize((round(image.width * 355 / image.height), 355), Image.Resampling.BOX)
    scene = Image.new("L", (640, 360), 90)
    scene.paste(small, (200, 2))
    (text,) = OpenCvCardReader().read(np.asarray(scene))
    key = load_public_key(keys / "card.pub.pem", "card key")
    return read_card(text, {thumbprint(key): key})


def test_printed_page_is_read_back_from_the_models_picture_and_names_nobody(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "card.png"
    assert make(keys, page, *WORDS, *PEOPLE) == 0
    declared = read_back(page, keys)
    assert (declared.scenario, declared.environment, declared.site) == (
        "hostage",
        "train",
        "site-12",
    )
    people = {declared.trainer, *declared.consents}
    known = {entry["pseudonym"]: entry["person"] for entry in register(keys) if "person" in entry}
    assert {known[each] for each in people} == {"Jane Smith", "form 7", "form 8"}
    said = capsys.readouterr().out
    assert "Jane" not in said
    assert declared.trainer in said


def test_pdf_is_one_page_of_the_same_picture(keys: Path, tmp_path: Path) -> None:
    page = tmp_path / "card.pdf"
    assert make(keys, page, *WORDS) == 0
    content = page.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 1
    assert b"/MediaBox [ 0 0 595" in content  # A4 in points


def test_person_keeps_the_same_pseudonym_however_it_is_typed(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for role, person in (
        ("trainer", "Jane Smith"),
        ("trainer", "  jane   SMITH "),
        ("trainer", "John"),
        ("consent", "Jane Smith"),
    ):
        assert main(["card", "pseudonym", role, person, "--keys", str(keys)]) == 0
        said.append(capsys.readouterr().out.strip())
    assert said[0] == said[1]
    assert len(set(said)) == 3
    assert len(register(keys)) == 3


def test_secret_and_private_key_are_for_their_owner_alone(keys: Path) -> None:
    for name in ("card.key", "pseudonyms.secret"):
        assert (keys / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["card.gif", *WORDS], "neither .pdf nor .png"),
        (["card.png"], "would declare nothing"),
        (["card.png", "--site", "Site 12"], "--site 'Site 12' cannot be used"),
        (["card.png", "--trainer", " "], "is no trainer"),
        (["card.png", *["--consent", "x"] * 9], "more than 8 consents"),
        (["none/card.png", *WORDS], ""),
    ],
)
def test_what_cannot_be_printed_is_one_line_with_a_remedy(
    words: list[str], line: str, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(keys, tmp_path / words[0], *words[1:]) == 1
    said = capsys.readouterr().err
    assert line in said
    assert len(said.splitlines()) == 1
    assert ": " in said


def test_second_key_in_the_same_folder_is_refused(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (keys / "card.key").read_bytes()
    assert main(["card", "new-key", str(keys)]) == 1
    assert "already" in capsys.readouterr().err
    assert (keys / "card.key").read_bytes() == before


@pytest.mark.parametrize("lost", ["card.key", "pseudonyms.secret"])
def test_office_that_lost_a_file_says_which(
    lost: str, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (keys / lost).unlink()
    assert make(keys, tmp_path / "card.png", *WORDS) == 1
    assert lost in capsys.readouterr().err


def test_help_names_the_group_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "scenario cards" in capsys.readouterr().out
