"""Orders with the real programs over a real Mosquitto: by command, and what a camera then seals."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.keys import load_private_key, thumbprint
from collector.__main__ import main as collector
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from firmware_tools.open_clip import main as open_clip
from tests.scenario.conftest import MakeStack
from tests.scenario.evidence import shelf
from tests.scenario.waiting import status_of, wait_for_frames, wait_until_sent

pytestmark = pytest.mark.scenario


def order(stack: LocalStack, kind: str, *words: str) -> None:
    assert collector(["order", kind, "--config", str(stack.collector_config), *words]) == 0


def record(stack: LocalStack) -> None:
    stack.start()
    wait_for_frames(stack, 40)
    stack.stop()
    wait_until_sent(stack)


def test_cameras_keys_change_by_command_between_two_sessions(
    make_stack: MakeStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = pyrage.x25519.Identity.generate()
    old_identity = tmp_path / "stack" / "fleet" / "collector" / "age-identity.txt"
    new_identity, recipients = tmp_path / "new-age.txt", tmp_path / "recipients.txt"
    new_identity.write_text(f"{identity}\n")
    recipients.write_text(f"{identity.to_public()}\n")
    receipt_key = tmp_path / "receipt.pub.pem"
    receipt_key.write_bytes(
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    identities = [str(old_identity), str(new_identity)]
    stack = make_stack(collector={"keys": {"age_identity_files": identities}})
    stack.wait_ready()
    record(stack)
    before = set(shelf(stack, "sent"))
    words = ["--recipients", str(recipients), "--add-receipt-key", str(receipt_key)]
    order(stack, "keys", DEVICE_ID, *words, "--new-custody-key")
    order(stack, "request", DEVICE_ID, sorted(before)[0])
    stack.wait_until(lambda: status_of(stack).keys_order > 0, timeout_s=30, what="the order")
    record(stack)
    after = set(shelf(stack, "sent")) - before
    assert after
    assert status_of(stack).faults == ()
    custody = load_private_key(stack.fleet.device(DEVICE_ID).custody_key_file, "custody key")
    first_kid = thumbprint(custody.public_key())
    capsys.readouterr()
    devices = str(stack.fleet.collector.directory / "devices")
    for folders, identity_file, is_first in (
        (before, old_identity, True),
        (after, new_identity, False),
    ):
        out = tmp_path / f"opened-{is_first}"
        cards = [str(stack.state_dir / "spool" / "sent" / name) for name in sorted(folders)]
        keys = ["--identity", str(identity_file), "--devices", devices]
        assert open_clip([*keys, "--out", str(out), *cards]) == 0
        said = capsys.readouterr().out
        assert said.count("chain whole") == len(folders)
        assert (first_kid in said) == is_first
    log = (stack.logs_dir / "agent.log").read_text()
    assert f"clip {sorted(before)[0]} is stored already" in log
