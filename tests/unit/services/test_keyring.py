"""The recorder's keys: they change between clips, by orders that verify, and survive any cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto import jws
from agent.crypto.custody import verify_chain
from agent.crypto.keys import thumbprint
from agent.crypto.trust import pinned, public_key
from agent.services.keyring import CUSTODY_KEYS_FILE, ORDERS_FILE, Keyring
from agent.services.recovery import recover_all
from agent.services.vault import Vault
from agent.storage.atomic import Fsync
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import Spool
from agent.wire.codec import decode
from agent.wire.manifest import CUSTODY_FILE
from agent.wire.orders import CustodyKey, CustodyKeys
from tests.clock import START_WALL_NS, ManualClock
from tests.order_maker import DAY_NS, key_orders, keys_token
from tests.recorder_rig import DEVICE, EPOCH, VERSION

SERVER, NEXT = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OLD, NEW = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
CUSTODY = Ed25519PrivateKey.generate()
NO_SYNC: Fsync = lambda _descriptor: None  # noqa: E731
MakeKeyring = Callable[[], Keyring]


@pytest.fixture
def make_keyring(tmp_path: Path) -> MakeKeyring:
    return lambda: Keyring(
        tmp_path,
        DEVICE,
        pinned=pinned([SERVER.public_key()], [str(OLD.to_public())]),
        custody_key=CUSTODY,
        clock=ManualClock(wall_ns=START_WALL_NS + DAY_NS),
        fsync=NO_SYNC,
    )


def drop(folder: Path, *tokens: str) -> None:
    """What the uplink leaves for the recorder."""
    file = folder / ORDERS_FILE
    file.parent.mkdir(exist_ok=True)
    file.with_suffix(".new").write_bytes(key_orders(*tokens))
    file.with_suffix(".new").replace(file)


def order(seq: int = 1, *, signer: Ed25519PrivateKey = SERVER, custody: int = 0) -> str:
    recipients = [str(NEW.to_public())]
    return keys_token(signer, seq, [SERVER], recipients=recipients, custody_generation=custody)


def opens(sealed: bytes, identity: pyrage.x25519.Identity) -> bool:
    try:
        pyrage.decrypt(sealed, [identity])
    except pyrage.DecryptError:
        return False
    return True


def vault_of(folder: Path, keyring: Keyring) -> Vault:
    vault = Vault(
        spool=Spool(folder, fsync=NO_SYNC),
        state=RecorderState(folder, fsync=NO_SYNC),
        sealer=keyring.sealer,
        signer=keyring.signer,
        clock=ManualClock(),
        boot_counter=1,
        device_id=DEVICE,
        agent_version=VERSION,
        fsync=NO_SYNC,
        keyring=keyring,
    )
    vault.spool.prepare()
    vault.state.prepare()
    return vault


def clip_name(number: int) -> str:
    return f"{DEVICE}-{EPOCH}-000001-0001-{number:04d}"


def test_new_recipients_hold_from_the_next_clip_on_and_never_within_one(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    vault = vault_of(tmp_path, make_keyring())
    first = vault.open_clip(clip_name(0), ())
    first.put_fragment(b"a", 0, 1, 1)
    drop(tmp_path, order())
    vault.renew_keys()
    first.put_fragment(b"b", 1, 2, 1)
    second = vault.open_clip(clip_name(1), ())
    second.put_fragment(b"c", 2, 3, 1)

    def sealed(number: int, name: str) -> bytes:
        return (vault.files(clip_name(number)).folder / name).read_bytes()

    assert [opens(sealed(0, n), OLD) for n in ("0000.age", "0001.age")] == [True, True]
    assert (opens(sealed(1, "0000.age"), NEW), opens(sealed(1, "0000.age"), OLD)) == (True, False)
    assert [note.is_fault for note in vault.key_notes()] == [False]


def test_order_that_the_uplink_forged_redirects_nothing(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    keyring = make_keyring()
    drop(tmp_path, order(signer=Ed25519PrivateKey.generate()))
    keyring.renew()
    assert opens(keyring.sealer.seal(b"x").content, OLD)
    notes = keyring.take_notes()
    assert (len(notes), notes[0].is_fault) == (1, True)
    assert "is not known" in notes[0].text
    keyring.renew()
    assert keyring.take_notes() == []


def test_uplink_that_puts_an_older_order_back_changes_nothing(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    keyring = make_keyring()
    older = keys_token(SERVER, 1, [SERVER], recipients=[str(OLD.to_public())])
    drop(tmp_path, older, order(2))
    keyring.renew()
    drop(tmp_path, older)
    keyring.renew()
    (tmp_path / ORDERS_FILE).unlink()
    again = make_keyring()
    assert again.order == keyring.order == 2
    assert opens(again.sealer.seal(b"x").content, NEW)


def test_new_custody_key_is_vouched_for_by_the_old_one_and_signs_after_a_restart(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    keyring = make_keyring()
    first = keyring.signer.kid
    drop(tmp_path, order(custody=1))
    keyring.renew()
    assert keyring.signer.kid != first
    (token,) = decode(CustodyKeys, (tmp_path / CUSTODY_KEYS_FILE).read_bytes()).keys
    said = decode(CustodyKey, jws.verify(token, lambda _kid: CUSTODY.public_key()))
    assert thumbprint(public_key(said.public_key)) == keyring.signer.kid
    assert (tmp_path / "trust" / "custody-1.key").stat().st_mode & 0o777 == 0o600
    again = make_keyring()
    again.renew()
    assert again.signer.kid == keyring.signer.kid
    assert set(again.custody_keys) == {first, keyring.signer.kid}


def test_cut_between_new_key_and_its_certificate_makes_the_key_anew(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    drop(tmp_path, order(custody=1))
    make_keyring().renew()
    (tmp_path / CUSTODY_KEYS_FILE).unlink()
    again = make_keyring()
    assert again.signer.kid == thumbprint(CUSTODY.public_key())
    again.renew()
    assert again.signer.kid != thumbprint(CUSTODY.public_key())
    assert make_keyring().signer.kid == again.signer.kid


def test_clip_begun_with_the_old_custody_key_is_recovered_after_the_key_changed(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    keyring = make_keyring()
    vault = vault_of(tmp_path, keyring)
    clip = vault.open_clip(clip_name(0), ())
    clip.put_fragment(b"a", 0, 10, 1)
    drop(tmp_path, order(custody=1))
    vault.renew_keys()
    later = make_keyring()
    (done,) = recover_all(vault_of(tmp_path, later))
    assert done.outcome == "closed"
    folder = vault.spool.path("outbox", clip_name(0))
    lines = (folder / CUSTODY_FILE).read_text().splitlines()
    assert verify_chain(lines, later.key_for)[-1].kind == "close"
    assert len({line.split(".")[0] for line in lines}) == 2


@pytest.mark.parametrize("damage", ["certificates", "private key", "other private key"])
def test_damaged_custody_key_falls_back_to_the_provisioned_one_and_makes_no_second_heir(
    tmp_path: Path, make_keyring: MakeKeyring, damage: str
) -> None:
    drop(tmp_path, order(custody=1))
    make_keyring().renew()
    if damage == "certificates":
        (tmp_path / CUSTODY_KEYS_FILE).write_bytes(b'{"keys":["x.y.z"]}')
    else:
        content = b"no key"
        if damage == "other private key":
            other = tmp_path / "other"
            other.mkdir()
            drop(other, order(custody=1))
            keyring = Keyring(
                other,
                DEVICE,
                pinned=pinned([SERVER.public_key()], [str(OLD.to_public())]),
                custody_key=CUSTODY,
                clock=ManualClock(),
            )
            keyring.renew()
            content = (other / "trust" / "custody-1.key").read_bytes()
        (tmp_path / "trust" / "custody-1.key").write_bytes(content)
    keyring = make_keyring()
    before = (tmp_path / CUSTODY_KEYS_FILE).read_bytes()
    keyring.renew()
    assert keyring.signer.kid == thumbprint(CUSTODY.public_key())
    assert (tmp_path / CUSTODY_KEYS_FILE).read_bytes() == before
    assert [note.is_fault for note in keyring.take_notes()] == [True]


def test_card_that_refuses_leaves_the_old_keys_until_it_takes_the_new(
    tmp_path: Path, make_keyring: MakeKeyring
) -> None:
    keyring = make_keyring()
    drop(tmp_path, order(custody=1))
    (tmp_path / "trust").write_bytes(b"in the way")
    keyring.renew()
    assert opens(keyring.sealer.seal(b"x").content, OLD)
    assert "wait for the card" in keyring.take_notes()[0].text
    (tmp_path / "trust").unlink()
    keyring.renew()
    assert opens(keyring.sealer.seal(b"x").content, NEW)
    assert keyring.order == 1
