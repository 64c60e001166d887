"""New custody keys: taken up when the key before vouches for them, else refused and reported."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.jws import Signer
from agent.crypto.keys import thumbprint
from agent.crypto.trust import public_text
from agent.errors import WireError
from agent.wire.codec import encode
from agent.wire.orders import CustodyKey, CustodyKeys
from collector.custody_keys import CustodyRegister
from collector.report import Report
from collector.verification import DeviceKeys

KEYS = [Ed25519PrivateKey.generate() for _ in range(4)]
KIDS = [thumbprint(key.public_key()) for key in KEYS]


def vouch(by: int, for_key: int, *, device_id: str = "cam01", generation: int = 1) -> str:
    said = CustodyKey(
        device_id=device_id,
        generation=generation,
        public_key=public_text(KEYS[for_key].public_key()),
    )
    return Signer(KEYS[by]).sign(encode(said))


class Desk:
    def __init__(self, root: Path) -> None:
        self.folder = root / "cam01"
        self.folder.mkdir()
        (self.folder / "custody-first.pem").write_bytes(
            KEYS[0]
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self.log = io.StringIO()
        self.keys_of = DeviceKeys(root, lambda _text: None)
        report = Report(io.StringIO(), self.log, lambda: 0.0)
        self.register = CustodyRegister(root, self.keys_of, report)

    def take(self, *tokens: str, device_id: str = "cam01") -> set[str]:
        self.register.take(device_id, encode(CustodyKeys(keys=tokens)))
        return set(self.keys_of("cam01"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_key_that_the_older_one_vouches_for_is_taken_up_beside_it(desk: Desk) -> None:
    assert desk.take(vouch(0, 1)) == {KIDS[0], KIDS[1]}
    assert (desk.folder / f"custody-{KIDS[1]}.pem").stat().st_mode & 0o777 == 0o644
    assert desk.take(vouch(0, 1), vouch(1, 2, generation=2)) == set(KIDS[:3])
    assert desk.log.getvalue().count("signs with custody key") == 2


def test_the_same_word_again_changes_and_says_nothing(desk: Desk) -> None:
    desk.take(vouch(0, 1))
    before = {path: path.stat().st_mtime_ns for path in desk.folder.iterdir()}
    assert desk.take(vouch(0, 1)) == {KIDS[0], KIDS[1]}
    assert {path: path.stat().st_mtime_ns for path in desk.folder.iterdir()} == before


def test_thief_with_a_key_that_was_rotated_out_names_no_key_of_his_own(desk: Desk) -> None:
    desk.take(vouch(0, 1))
    assert desk.take(vouch(0, 3)) == {KIDS[0], KIDS[1]}
    assert f"key {KIDS[0]} vouched for {KIDS[1]} before" in desk.log.getvalue()


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (vouch(3, 1), "is not known"),
        (vouch(0, 1, device_id="cam02"), "it is of device 'cam02'"),
        ("x.y.z", "not a compact JWS"),
        (Signer(KEYS[0]).sign(b"{}"), "not a valid message"),
    ],
)
def test_what_cannot_be_proven_is_refused_and_reported(desk: Desk, token: str, says: str) -> None:
    assert desk.take(token) == {KIDS[0]}
    assert "custody key of cam01 refused" in desk.log.getvalue()
    assert says in desk.log.getvalue()


def test_device_that_is_not_known_gets_no_folder(desk: Desk, tmp_path: Path) -> None:
    desk.take(vouch(0, 1, device_id="cam09"), device_id="cam09")
    assert not (tmp_path / "cam09").exists()


def test_rubbish_is_a_wire_error(desk: Desk) -> None:
    with pytest.raises(WireError):
        desk.register.take("cam01", b"\xff")


def test_disk_that_refuses_is_reported_and_the_key_comes_again(desk: Desk) -> None:
    (desk.folder / f".custody-{KIDS[1]}.jws.tmp").mkdir()
    assert desk.take(vouch(0, 1)) == {KIDS[0]}
    assert "cannot be kept" in desk.log.getvalue()
    (desk.folder / f".custody-{KIDS[1]}.jws.tmp").rmdir()
    assert desk.take(vouch(0, 1)) == {KIDS[0], KIDS[1]}
