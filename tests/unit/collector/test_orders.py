"""The order desk: numbers that rise, and no order that would lock cameras or the server out."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.order_rules import Moment
from agent.crypto.jws import Signer
from agent.crypto.keys import thumbprint
from agent.crypto.trust import pinned, public_text, read_order
from agent.errors import OrderError
from agent.services.trust_book import TrustBook, read_key_orders
from agent.wire.declaration import Declaration
from agent.wire.orders import PlanOrder, RequestOrder
from agent.wire.topics import down_keys, down_plan, down_request
from collector.__main__ import main
from collector.orders import KeyChange, OrderDesk, topic_of
from tests.card_maker import DECLARED
from tests.clips import clip_id
from tests.order_maker import DAY_NS, recipient

OLD, NEW = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OLD_KID, NEW_KID = (thumbprint(key.public_key()) for key in (OLD, NEW))
NOW = 20_000 * DAY_NS
ADD_NEW = KeyChange(recipients=(recipient(),), add_receipt_keys=(public_text(NEW.public_key()),))


def desk(folder: Path, key: Ed25519PrivateKey = OLD, now_ns: int = NOW) -> OrderDesk:
    return OrderDesk(folder / "orders", Signer(key), now_ns)


def book(folder: Path) -> TrustBook:
    """A camera's, provisioned with the old key."""
    return TrustBook(folder / "camera.json", "cam01", pinned([OLD.public_key()]))


def deliver(folder: Path, camera: TrustBook) -> None:
    tokens = read_key_orders(folder / "orders" / "cam01.keys.json")
    camera.take(tokens, Moment(NOW + DAY_NS, True))


def test_request_is_what_a_camera_reads(tmp_path: Path) -> None:
    desk(tmp_path).request("cam01", [clip_id(1)], DAY_NS)
    token = (tmp_path / "orders" / "cam01.request.jws").read_text()
    order = read_order(token, pinned([OLD.public_key()]), "cam01")
    assert isinstance(order, RequestOrder)
    assert order.clip_ids == (clip_id(1),)


def test_plan_is_what_a_camera_reads_and_the_next_one_has_a_higher_number(tmp_path: Path) -> None:
    file, trust = tmp_path / "orders" / "cam01.plan.jws", pinned([OLD.public_key()])
    numbers = []
    for declared in (DECLARED, Declaration()):
        desk(tmp_path).plan("cam01", declared, DAY_NS)
        order = read_order(file.read_text(), trust, "cam01")
        assert isinstance(order, PlanOrder)
        assert order.declared == declared
        numbers.append(order.seq)
    assert numbers == sorted(set(numbers))


def test_card_keys_of_an_order_stay_until_another_order_names_some(tmp_path: Path) -> None:
    card_keys = (public_text(NEW.public_key()),)
    first = desk(tmp_path).keys("cam01", KeyChange(recipients=ADD_NEW.recipients), DAY_NS)
    assert first.card_keys is None  # those of the provisioning
    orders = [
        desk(tmp_path).keys("cam01", change, DAY_NS).card_keys
        for change in (KeyChange(card_keys=card_keys), KeyChange(), KeyChange(card_keys=()))
    ]
    assert orders == [card_keys, card_keys, ()]


def test_numbers_rise_with_the_clock_set_back_and_with_the_folder_lost(tmp_path: Path) -> None:
    numbers = [desk(tmp_path).request("cam01", [], DAY_NS).seq]
    numbers.append(desk(tmp_path, now_ns=1).request("cam01", [], DAY_NS).seq)
    (tmp_path / "orders" / "cam01.request.jws").unlink()
    numbers.append(desk(tmp_path, now_ns=NOW + 10**9).request("cam01", [], DAY_NS).seq)
    assert numbers == sorted(set(numbers))


def test_rotation_in_two_steps_is_followed_by_a_camera_that_was_off_for_both(
    tmp_path: Path,
) -> None:
    desk(tmp_path).keys("cam01", ADD_NEW, DAY_NS * 2)
    desk(tmp_path, NEW, NOW + 10**9).keys("cam01", KeyChange(retire=(OLD_KID,)), DAY_NS * 2)
    camera = book(tmp_path)
    deliver(tmp_path, camera)
    assert list(camera.trust.receipt_keys) == [NEW_KID]
    assert camera.trust.recipients == ADD_NEW.recipients


def test_key_that_signs_cannot_be_taken_away(tmp_path: Path) -> None:
    for change in (KeyChange(retire=(OLD_KID,)), KeyChange(revoke=(OLD_KID,))):
        with pytest.raises(OrderError, match="is the one that signs: let the collectors"):
            desk(tmp_path).keys("cam01", change, DAY_NS)


def test_signing_with_a_key_that_the_camera_does_not_believe_is_refused_here(
    tmp_path: Path,
) -> None:
    desk(tmp_path).keys("cam01", KeyChange(recipients=(recipient(),)), DAY_NS)
    with pytest.raises(OrderError, match="cam01 does not believe key"):
        desk(tmp_path, NEW).keys("cam01", KeyChange(), DAY_NS)
    assert desk(tmp_path, OLD, NOW + 10**9).keys("cam01", ADD_NEW, DAY_NS).seq


def test_new_chain_serves_a_camera_that_was_provisioned_again(tmp_path: Path) -> None:
    desk(tmp_path).keys("cam01", ADD_NEW, 2 * DAY_NS)
    later = desk(tmp_path, NEW, NOW + 10**9)
    later.keys("cam01", KeyChange(retire=(OLD_KID,)), 2 * DAY_NS, new_chain=True)
    camera = TrustBook(tmp_path / "again.json", "cam01", pinned([NEW.public_key()]))
    deliver(tmp_path, camera)
    assert list(camera.trust.receipt_keys) == [NEW_KID]


@pytest.mark.parametrize(
    ("device", "clips", "life_ns", "says"),
    [
        ("cam01", ["rubbish"], DAY_NS, "is not a clip id"),
        ("cam02", [clip_id(1)], DAY_NS, "is a clip of cam01, not of cam02"),
        ("../cam01", [], DAY_NS, "is no device id"),
        ("cam01", [], 0, "must expire within a year"),
        ("cam01", [], 400 * DAY_NS, "must expire within a year"),
        ("cam01", [clip_id(n) for n in range(65)], DAY_NS, "more than the 64"),
    ],
)
def test_request_that_no_camera_could_obey_is_refused_here(
    tmp_path: Path, device: str, clips: list[str], life_ns: int, says: str
) -> None:
    with pytest.raises(OrderError, match=says):
        desk(tmp_path).request(device, clips, life_ns)


@pytest.mark.parametrize("content", ["", "x.y.z", "{"])
def test_damaged_files_are_one_line_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "orders").mkdir()
    for name in ("cam01.request.jws", "cam01.keys.json"):
        (tmp_path / "orders" / name).write_text(content)
    with pytest.raises(OrderError, match=r"is damaged .*restore it"):
        desk(tmp_path).request("cam01", [], DAY_NS)
    with pytest.raises(OrderError, match=r"is damaged .*restore it"):
        desk(tmp_path).keys("cam01", ADD_NEW, DAY_NS)


def test_only_files_of_orders_have_a_topic() -> None:
    assert topic_of("cam01.request.jws") == down_request("cam01")
    assert topic_of("cam01.keys.json") == down_keys("cam01")
    assert topic_of("cam01.plan.jws") == down_plan("cam01")
    for name in (".cam01.keys.json.tmp", "a/b.keys.json", "+.keys.json", "notes.txt", ".keys.json"):
        assert topic_of(name) is None


class Site:
    """A collection server's files, and its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "collector.toml"
        self.identity = pyrage.x25519.Identity.generate()
        (root / "age.txt").write_text(f"{self.identity}\n")
        (root / "receipt.key").write_bytes(
            OLD.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (root / "new.pem").write_bytes(
            NEW.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        for name in ("cam01", "cam02"):
            (root / "devices" / name).mkdir(parents=True)
        self.recipients(str(self.identity.to_public()))
        self.config.write_text(
            '[collector]\nname = "c"\nstore_dir = "store"\n'
            '[keys]\nage_identity_files = ["age.txt"]\n'
        )

    def recipients(self, *lines: str) -> None:
        (self.root / "recipients.txt").write_text("".join(f"{line}\n" for line in lines))

    def order(self, *words: str) -> int:
        return main(["order", words[0], "--config", str(self.config), *words[1:]])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_command_orders_all_devices_at_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(site.root / name) for name in ("recipients.txt", "new.pem")]
    words = ("keys", "--all", "--recipients", names[0], "--add-receipt-key", names[1])
    assert site.order(*words, "--new-custody-key") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" for ")[1] for line in said] == [
        f"{name}: 1 recipients, 2 receipt keys, custody key 1" for name in ("cam01", "cam02")
    ]
    assert site.order("request", "cam01", clip_id(3)) == 0
    assert capsys.readouterr().out.endswith("for cam01: 1 clips first\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("request", "cam09"), "no device 'cam09'"),
        (("request", "../store"), "no device '../store'"),
        (("keys", "cam01"), "the first order must name the recipients"),
        (("keys",), "no device is named"),
        (("keys", "cam01", "--recipients", "{root}/none.txt"), "cannot be read"),
        (("keys", "cam01", "--retire", OLD_KID), "is the one that signs"),
        (("keys", "cam01", "--card-key", "{root}/none.pem"), "cannot be read"),
        (("plan", "cam09", "--scenario", "x"), "no device 'cam09'"),
        (("plan", "cam01"), "declares something, or --withdraw"),
        (("plan", "cam01", "--scenario", "x", "--withdraw"), "give one of the two"),
        (("plan", "cam01", "--scenario", "Two Words"), "--scenario: this cannot be in a plan"),
        (("plan", "cam01", "--consent", "Jane"), "--consent: this cannot be in a plan: no names"),
    ],
)
def test_command_that_cannot_be_carried_out_is_one_line(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert site.order(*(word.format(root=site.root) for word in words)) == 1
    shown = capsys.readouterr().err
    assert says in shown
    assert len(shown.splitlines()) == 1


def test_recipients_that_this_collector_could_not_open_for_are_refused(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.recipients(recipient())
    assert site.order("keys", "cam01", "--recipients", str(site.root / "recipients.txt")) == 1
    assert "names no key that this collector holds" in capsys.readouterr().err
