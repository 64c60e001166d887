"""Every key changes over the wire: nothing sent before or after is lost, and all of it opens.

Real uplink, vault, keyring and collector over a broker in memory; the clock is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyrage
import pytest
import zmq
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Device, Paths, Settings
from agent.config import Uplink as UplinkSettings
from agent.crypto import jws
from agent.crypto.jws import Signer
from agent.crypto.keys import thumbprint
from agent.crypto.trust import pinned, public_text
from agent.drivers.surroundings_fake import FakeSurroundings
from agent.services.keyring import Keyring
from agent.services.uplink import Uplink
from agent.services.vault import Vault
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import RECEIPT_FILE, Spool
from agent.wire.label_sheet import SessionRecord
from agent.wire.topics import up_manifest
from collector.config import Keys
from collector.orders import ORDERS_DIR, KeyChange, OrderDesk
from firmware_tools.open_clip import main as open_clip
from tests.clock import ManualClock
from tests.collector_rig import PromptBroker, Rig
from tests.order_maker import DAY_NS
from tests.recorder_rig import DEVICE, EPOCH, VERSION
from tests.sample_clip import SampleDevice

pytestmark = pytest.mark.scenario

FIRST_CUSTODY = Ed25519PrivateKey.generate()


class Site:
    """One camera and one collection server; `restart` of either takes what is on its disk."""

    def __init__(self, root: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.root, self.context = root, context
        (root / "server").mkdir()
        self.rig = Rig(root / "server")
        self.clock = ManualClock(wall_ns=1_700_000_000_000_000_000)
        self.first_identity = self.rig.identity
        self.first_receipt_key = self.rig.receipt_key
        custody = SampleDevice(DEVICE, self.rig.identity.to_public(), key=FIRST_CUSTODY)
        self.rig.register(DEVICE, custody)
        self.settings = Settings(
            device=Device(device_id=DEVICE, kind="desk"),
            paths=Paths(state_dir=root / "camera", runtime_dir=root / "run"),
            uplink=UplinkSettings(part_bytes=16 * 1024),
        )
        self.spool = Spool(self.settings.paths.state_dir)
        self.spool.prepare()
        self.clips = 0
        self.opened_in_order: list[str] = []
        self.uplink: Uplink | None = None
        self.restart_camera()
        self.rig.start()

    def restart_camera(self) -> None:
        state_dir = self.settings.paths.state_dir
        keyring = Keyring(
            state_dir,
            DEVICE,
            pinned=pinned(
                [self.first_receipt_key.public_key()], [str(self.first_identity.to_public())]
            ),
            custody_key=FIRST_CUSTODY,
            clock=self.clock,
        )
        self.vault = Vault(
            spool=self.spool,
            state=RecorderState(state_dir),
            sealer=keyring.sealer,
            signer=keyring.signer,
            clock=self.clock,
            boot_counter=1,
            device_id=DEVICE,
            agent_version=VERSION,
            fsync=lambda _descriptor: None,
            keyring=keyring,
        )
        self.vault.state.prepare()
        self.keyring = keyring
        self.disconnect()

    def disconnect(self) -> None:
        if self.uplink is not None:
            self.uplink.close()
        self.uplink = None

    def connect(self) -> None:
        self.disconnect()
        broker = PromptBroker(self.rig.exchange, client_id=DEVICE)
        publish = broker.publish

        def noting(topic: str, payload: bytes, **more: object) -> int | None:
            clip_id = topic.split("/")[-2]
            if topic == up_manifest(DEVICE, clip_id):
                self.opened_in_order.append(clip_id[-4:])
            return publish(topic, payload, **more)  # type: ignore[arg-type]

        broker.publish = noting  # type: ignore[method-assign]
        self.uplink = Uplink(
            broker=broker,
            clock=self.clock,
            spool=self.spool,
            settings=self.settings,
            receipt_keys=[self.first_receipt_key.public_key()],
            context=self.context,
            surroundings=FakeSurroundings(),
            random=lambda: 0.5,
        )

    def record(self, *, lasts_s: float = 1.0) -> str:
        name = f"{DEVICE}-{EPOCH}-000001-0001-{self.clips:04d}"
        sample = SampleDevice(DEVICE, self.first_identity.to_public())
        clip = self.vault.open_clip(name, ())
        self.clock.advance(lasts_s)
        for index in range(2):
            clip.put_fragment(b"%d" % self.clips * 3_000, index * 10**9, (index + 1) * 10**9, 30)
        sheet_name = msgspec.structs.replace(sample.name(self.clips), epoch=EPOCH)
        clip.close(sample.sheet(sheet_name, 2, 0), "plain")
        self.clips += 1
        return name

    def record_session_record(self) -> str:
        session = f"{DEVICE}-{EPOCH}-000001-0001"
        sample = SampleDevice(DEVICE, self.first_identity.to_public())
        record = msgspec.json.decode(sample.record().sheet or b"", type=SessionRecord)
        record = msgspec.structs.replace(record, session_id=session)
        self.vault.put_record(record)
        return f"{session}-record"

    def run(self, until: Callable[[], bool]) -> None:
        for _ in range(3_000):
            if until():
                return
            if self.uplink is not None:
                self.uplink.step()
            self.rig.settle()
            self.vault.renew_keys()
            self.clock.advance(0.1)
        raise AssertionError("it does not come to an end")

    def deliver(self, *names: str) -> None:
        self.run(lambda: all(self.spool.path("sent", name).is_dir() for name in names))

    def order_keys(self, key: Ed25519PrivateKey, change: KeyChange) -> None:
        self.clock.advance(1)
        folder = self.rig.settings.collector.store_dir / ORDERS_DIR
        OrderDesk(folder, Signer(key), self.clock.wall_ns()).keys(DEVICE, change, DAY_NS)
        self.rig.now_s += 5

    def serve_with(self, key: Ed25519PrivateKey, *identities: pyrage.x25519.Identity) -> None:
        """The collector starts anew with another receipt key and these age keys."""
        self.rig.stop()
        (self.rig.root / "receipt.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        files = []
        for number, identity in enumerate(identities):
            files.append(self.rig.root / f"identity-{number}.txt")
            files[-1].write_text(f"{identity}\n")
        keys = msgspec.structs.replace(self.rig.settings.keys, age_identity_files=tuple(files))
        assert isinstance(keys, Keys)
        self.rig.settings = msgspec.structs.replace(self.rig.settings, keys=keys)
        self.rig.start()

    def receipt_kid(self, name: str) -> str:
        token = (self.spool.path("sent", name) / RECEIPT_FILE).read_text()
        for key in (self.first_receipt_key, NEXT_RECEIPT):
            try:
                jws.verify(token, lambda _kid, key=key: key.public_key())  # type: ignore[misc]
            except Exception:
                continue
            return thumbprint(key.public_key())
        raise AssertionError("signed by a stranger")

    def close(self) -> None:
        self.disconnect()
        self.rig.stop()


NEXT_RECEIPT = Ed25519PrivateKey.generate()
NEXT_IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Site(tmp_path, context)
    yield made
    made.close()
    context.destroy(linger=0)


def test_all_keys_rotate_over_the_wire_and_everything_is_stored_and_opens(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    old_kid, new_kid = (
        thumbprint(key.public_key()) for key in (site.first_receipt_key, NEXT_RECEIPT)
    )
    before = site.record()
    site.connect()
    site.deliver(before)
    waiting = site.record()  # sealed and signed with the old keys, sent after they changed
    site.uplink.close()  # type: ignore[union-attr]
    site.uplink = None
    # While the camera is off: both keys are named, the server changes over, the old one goes.
    change = KeyChange(
        recipients=(str(NEXT_IDENTITY.to_public()),),
        add_receipt_keys=(public_text(NEXT_RECEIPT.public_key()),),
        new_custody_key=True,
    )
    site.order_keys(site.first_receipt_key, change)
    site.serve_with(NEXT_RECEIPT, site.first_identity, NEXT_IDENTITY)
    site.order_keys(NEXT_RECEIPT, KeyChange(retire=(old_kid,)))
    site.connect()
    site.run(lambda: site.keyring.trust.receipt_keys.keys() == {new_kid})
    after = site.record()
    record = site.record_session_record()
    site.deliver(waiting, after, record)
    assert [site.receipt_kid(name) for name in (before, waiting, after)] == [
        old_kid,
        new_kid,
        new_kid,
    ]
    site.restart_camera()
    site.connect()
    last = site.record()
    site.deliver(last)
    assert len(list((site.rig.root / "devices" / DEVICE).glob("custody-*.pem"))) == 2
    out = site.root / "out"
    words = ["--devices", str(site.rig.root / "devices"), "--out", str(out)]
    for number in range(2):
        words += ["--identity", str(site.rig.root / f"identity-{number}.txt")]
    assert open_clip([*words, str(site.spool.root / "sent")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    assert sum(thumbprint(FIRST_CUSTODY.public_key()) in line for line in said) == 2
    assert all("chain whole" in line and "follows" in line for line in said)


def test_receipt_of_long_ago_is_signed_anew_for_a_camera_that_was_told_the_key_is_stolen(
    site: Site,
) -> None:
    name = site.record()
    site.rig.exchange.deliver = lambda _topic, payload: 0 if b'"stored"' in payload else 1
    site.connect()
    site.run(lambda: bool(site.rig.said("stored")))
    site.rig.exchange.deliver = lambda _topic, _payload: 1
    site.uplink.close()  # type: ignore[union-attr]
    assert site.spool.clips("outbox") == [name]
    old_kid = thumbprint(site.first_receipt_key.public_key())
    site.order_keys(
        site.first_receipt_key,
        KeyChange(
            recipients=(str(site.first_identity.to_public()),),
            add_receipt_keys=(public_text(NEXT_RECEIPT.public_key()),),
        ),
    )
    site.serve_with(NEXT_RECEIPT, site.first_identity)
    site.order_keys(NEXT_RECEIPT, KeyChange(revoke=(old_kid,)))
    site.restart_camera()
    site.connect()
    site.deliver(name)
    assert site.receipt_kid(name) == thumbprint(NEXT_RECEIPT.public_key())


def test_clip_on_the_admins_request_goes_first_of_all(site: Site) -> None:
    names = [site.record() for _ in range(5)]
    folder = site.rig.settings.collector.store_dir / ORDERS_DIR
    desk = OrderDesk(folder, Signer(site.first_receipt_key), site.clock.wall_ns())
    desk.request(DEVICE, [names[3]], DAY_NS)
    site.rig.now_s += 5
    site.run(lambda: bool(site.rig.exchange.retained))
    site.connect()
    site.deliver(*names)
    assert site.opened_in_order[0] == "0003"
    assert sorted(set(site.opened_in_order)) == [f"{number:04d}" for number in range(5)]


def test_clip_by_a_brand_new_custody_key_does_not_wait_for_the_key_to_be_heard_of(
    site: Site,
) -> None:
    site.connect()
    change = KeyChange(recipients=(str(site.first_identity.to_public()),), new_custody_key=True)
    site.order_keys(site.first_receipt_key, change)
    first_kid = site.keyring.signer.kid
    site.run(lambda: site.keyring.trust.seq == 0 and bool(site.rig.exchange.retained))
    while site.keyring.signer.kid == first_kid:
        site.uplink.step()  # type: ignore[union-attr]
        site.vault.renew_keys()
    began_ns = site.clock.boot_ns()
    name = site.record(lasts_s=0)
    site.uplink._scan_due_ns = 0  # type: ignore[union-attr]  # as the recorder's event has it
    site.deliver(name)
    assert site.clock.boot_ns() - began_ns < 5 * 10**9
