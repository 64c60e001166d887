"""What an operator gets out of a card: footage, sheet, and a line that claims what is so."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import msgspec
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.crypto.jws import Signer
from agent.wire.codec import encode
from agent.wire.label_sheet import LabelSheet
from firmware_tools.open_clip import main
from tests.clock import ManualClock
from tests.recorder_rig import DEVICE, EPOCH, Keys, make_vault
from tests.sample_clip import SampleClip, SampleDevice


class Desk:
    """An operator's desk: keys in files, a card, a place for what is opened."""

    def __init__(self, root: Path) -> None:
        self.root, self.card, self.out = root, root / "card", root / "out"
        self.identity = pyrage.x25519.Identity.generate()
        self.device = SampleDevice("cam01", self.identity.to_public())
        (root / "identity.txt").write_text(f"{self.identity}\n")
        folder = root / "devices" / "cam01"
        folder.mkdir(parents=True)
        (folder / f"custody-{self.device.signer.kid}.pem").write_bytes(self.device.public_pem)
        self.said: list[str] = []

    def put(self, clip: SampleClip) -> Path:
        folder = self.card / clip.clip_id
        clip.write(folder)
        return folder

    def open(
        self,
        capsys: pytest.CaptureFixture[str],
        *more: str,
        devices: bool = True,
        card: Path | None = None,
    ) -> int:
        arguments = ["--identity", str(self.root / "identity.txt"), "--out", str(self.out)]
        if devices:
            arguments += ["--devices", str(self.root / "devices")]
        code = main([*arguments, *more, str(card or self.card)])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        self.said = (shown.out + shown.err).splitlines()
        return code

    def video(self, clip: SampleClip) -> bytes:
        return (self.out / clip.clip_id / "clip.mp4").read_bytes()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_whole_clip_is_opened_and_its_line_says_what_is_proven(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip(count=4)
    desk.put(clip)
    assert desk.open(capsys) == 0
    assert desk.video(clip) == clip.plain
    assert (desk.out / clip.clip_id / "labels.json").read_bytes() == clip.sheet
    assert stat.S_IMODE((desk.out / clip.clip_id / "clip.mp4").stat().st_mode) == 0o600
    kid = desk.device.signer.kid
    assert desk.said == [
        f"{clip.clip_id}: proven: 4 fragments unchanged since device cam01 (key {kid}) signed them,"
        " chain whole, closed by a sheet, follows the device's first line"
    ]


def test_shelf_shows_which_clip_follows_which_and_where_one_may_be_missing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [desk.device.clip(count=1) for _ in range(4)]
    for clip in (clips[1], clips[2]):
        desk.put(clip)
    desk.put(desk.device.record())
    assert desk.open(capsys) == 0
    assert "not proven: that no earlier clip is missing" in desk.said[0]
    assert f"follows {clips[1].clip_id}" in desk.said[1]
    assert "session record unchanged since device cam01" in desk.said[2]
    assert (desk.out / f"{desk.device.name(None).clip_id}" / "session.json").exists()


def test_recovered_clip_gets_its_sheet_from_the_labels_of_its_fragments(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.recovered_clip()
    desk.put(clip)
    assert desk.open(capsys) == 0
    assert desk.video(clip) == clip.plain
    content = (desk.out / clip.clip_id / "labels.json").read_bytes()
    sheet = msgspec.json.decode(content, type=LabelSheet)
    assert sheet.built_by == "open-clip"
    assert sheet.marks[0].offset_ns == 7
    assert "closed by a recovery (sheet built here from signed labels)" in desk.said[0]


def test_clip_still_in_recording_after_a_power_cut_opens_as_far_as_it_is_on_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk, keys = Desk(tmp_path), Keys()
    (tmp_path / "identity.txt").write_text(f"{keys.identity}\n")
    pem = SampleDevice("cam01", keys.identity.to_public(), key=keys.signer._key).public_pem
    (tmp_path / "devices" / "cam01" / "custody-x.pem").write_bytes(pem)
    vault = make_vault(desk.card, keys, ManualClock(trust="untrusted"))
    name = f"{DEVICE}-{EPOCH}-000001-0001-0000"
    clip = vault.open_clip(name, ())
    for index in range(3):
        clip.put_fragment(b"piece %d" % index, index * 10**9, (index + 1) * 10**9, 30)
    with (vault.files(name).folder / "custody.jsonl").open("ab") as custody:
        custody.write(b"eyJhbGciOi")  # torn by the cut
    assert desk.open(capsys, card=desk.card) == 0
    assert (desk.out / name / "clip.mp4").read_bytes() == b"piece 0piece 1piece 2"
    line = desk.said[0]
    assert "proven: 3 fragments unchanged" in line
    assert "not proven: what came after its last fragment (the clip was never closed)" in line
    assert "the labels (sheet built here, the clip was not closed)" in line
    assert line.endswith("wall time (clock untrusted)")


def test_without_custody_keys_it_opens_and_says_that_nobody_vouches(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip()
    desk.put(clip)
    assert desk.open(capsys, devices=False) == 0
    assert desk.video(clip) == clip.plain
    assert "3 fragments agree with custody lines that nobody vouches for" in desk.said[0]
    assert "not proven: who recorded it (no custody key was given)" in desk.said[0]


def test_key_of_another_device_proves_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip()
    desk.put(clip)
    shutil.rmtree(desk.root / "devices" / "cam01")
    assert desk.open(capsys) == 1
    assert f"wrong: signed by key {desk.device.signer.kid}, which is not among" in desk.said[0]
    assert "proven: 3 fragments agree with custody lines that nobody vouches for" in desk.said[0]


def test_forged_fragment_that_opens_is_kept_out_of_the_footage(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip()
    folder = desk.put(clip)
    forged = desk.device.sealer.seal(b"what never happened").content
    (folder / "0001.age").write_bytes(forged)
    (folder / "0003.age").write_bytes(forged)
    assert desk.open(capsys) == 1
    assert b"never happened" not in desk.video(clip)
    assert "0001.age is not the file that was signed: left out" in desk.said[0]
    assert "0003.age no custody line stands for it: left out" in desk.said[0]
    assert desk.open(capsys, "--everything") == 1
    assert desk.video(clip).count(b"never happened") == 2
    assert "0003.age no custody line stands for it: put in all the same" in desk.said[0]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("missing fragment", "0001.age missing"),
        ("truncated fragment", "0001.age is not the file that was signed"),
        ("first fragment gone", "0000.age holds the MP4 header and is not in it"),
        ("line removed", "custody: line 3: does not follow the line before"),
        ("line altered", "custody: line 3: signature: does not verify"),
        ("lines swapped", "custody: line 2: does not follow the line before"),
        ("chain gone", "custody.jsonl is missing or empty"),
        ("other manifest", "manifest.json is not the one that was signed"),
        ("rubbish manifest", "manifest.json is damaged"),
        ("no manifest", "manifest.json is missing"),
        ("forged sheet", "the label sheet is not the one that was signed"),
        ("renamed folder", "its folder is named"),
        ("link", "0001.age cannot be read"),
    ],
)
def test_tampering_is_one_line_and_the_rest_is_opened(
    desk: Desk, capsys: pytest.CaptureFixture[str], damage: str, says: str
) -> None:
    clip = desk.device.clip()
    folder = desk.put(clip)
    _damage(desk, folder, damage)
    assert desk.open(capsys) == 1
    assert len(desk.said) == 1
    assert says in desk.said[0]
    written = list(desk.out.glob("*/clip.mp4"))
    # Where only the first line stands, nothing vouches for any fragment.
    assert len(written) == (0 if damage == "lines swapped" else 1)
    assert all(path.stat().st_size >= 30_000 for path in written)


def _damage(desk: Desk, folder: Path, damage: str) -> None:
    custody, second = folder / "custody.jsonl", folder / "0001.age"
    lines = custody.read_bytes().splitlines(keepends=True)
    if damage == "missing fragment":
        second.unlink()
    elif damage == "truncated fragment":
        second.write_bytes(second.read_bytes()[:-7])
    elif damage == "first fragment gone":
        (folder / "0000.age").unlink()
    elif damage == "line removed":
        custody.write_bytes(b"".join(lines[:2] + lines[3:]))
    elif damage == "line altered":
        header, payload, signature = lines[2].split(b".")
        other = lines[1].split(b".")[1]
        assert payload != other
        custody.write_bytes(b"".join([*lines[:2], b".".join([header, other, signature])]))
    elif damage == "lines swapped":
        custody.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    elif damage == "chain gone":
        custody.unlink()
    elif damage == "other manifest":
        (folder / "manifest.json").write_bytes(encode(desk.device.clip().manifest))
    elif damage == "rubbish manifest":
        (folder / "manifest.json").write_bytes(b"\xff{")
        custody.write_bytes(b"".join(lines))
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "forged sheet":
        sheet = encode(desk.device.sheet(desk.device.name(0), 3, 0))
        (folder / "labels.json.age").write_bytes(desk.device.sealer.seal(sheet).content)
    elif damage == "renamed folder":
        folder.rename(folder.with_name(folder.name[:-4] + "0009"))
    else:
        second.unlink()
        second.symlink_to("/etc/passwd")


def test_wrong_identity_says_so_and_writes_no_video(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip()
    desk.put(clip)
    (desk.root / "identity.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    assert desk.open(capsys) == 1
    assert "0000.age is sealed to another key than those given: left out" in desk.said[0]
    assert os.listdir(desk.out / clip.clip_id) == []


def test_old_identity_beside_the_new_one_opens_old_and_new_clips(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = pyrage.x25519.Identity.generate()
    old = desk.device.clip()
    desk.device.sealer = type(desk.device.sealer)([newer.to_public()])
    new = desk.device.clip()
    for clip in (old, new):
        desk.put(clip)
    file = desk.root / "newer.txt"
    file.write_text(f"{newer}\n")
    assert desk.open(capsys, "--identity", str(file)) == 0
    assert (desk.video(old), desk.video(new)) == (old.plain, new.plain)


@pytest.mark.parametrize("card", ["empty", "absent", "file"])
def test_nothing_to_open_is_one_line_with_the_remedy(
    desk: Desk, capsys: pytest.CaptureFixture[str], card: str
) -> None:
    path = desk.root / card
    if card == "empty":
        path.mkdir()
    elif card == "file":
        path.write_bytes(b"")
    assert desk.open(capsys, card=path) == 2
    assert len(desk.said) == 1
    assert "give a clip, a shelf or a spool" in desk.said[0]


def test_id_in_forged_lines_never_becomes_a_path(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = desk.device.clip(count=1)
    folder = desk.put(clip)
    stranger = SampleDevice("cam01", desk.identity.to_public(), key=Ed25519PrivateKey.generate())
    chain = stranger.chain.open_clip("../../../escaped", 1, 1)
    (folder / "custody.jsonl").write_text(stranger._signed(chain, "open") + "\n")
    assert desk.open(capsys, devices=False) in (0, 1)
    assert not list(desk.root.rglob("escaped"))
    assert [path.name for path in desk.out.iterdir()] == [clip.clip_id]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(blob=st.binary(max_size=300), target=st.sampled_from(["custody.jsonl", "manifest.json"]))
def test_rubbish_in_any_file_never_shows_a_stack_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blob: bytes, target: str
) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    desk = Desk(tmp_path)
    folder = desk.put(desk.device.clip(count=1, fragment_bytes=100))
    (folder / target).write_bytes(blob)
    assert desk.open(capsys) == 1
    assert len(desk.said) == 1


def test_signature_by_a_forger_with_a_key_of_his_own_is_named(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    forger = SampleDevice("cam01", desk.identity.to_public(), key=Ed25519PrivateKey.generate())
    desk.put(forger.clip())
    assert desk.open(capsys) == 1
    assert f"signed by key {Signer(forger.key).kid}" in desk.said[0]
