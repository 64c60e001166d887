from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.trust import Trust, pinned
from agent.services.plan_book import PLAN_FILE, PLAN_ORDER_FILE, PlanBook
from agent.services.uplink_plan import PlanMail
from agent.wire.declaration import Declaration
from tests.card_maker import DECLARED
from tests.clock import START_WALL_NS, ManualClock
from tests.order_maker import DAY_NS, DEVICE, plan_token, request_token

SERVER = Ed25519PrivateKey.generate()
THIEF = Ed25519PrivateKey.generate()
TRUST = pinned([SERVER.public_key()])


class Camera:
    """A recorder's book beside the file that an uplink writes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.trust = folder, ManualClock(), TRUST
        self.restart()

    def restart(self) -> None:
        self.book = PlanBook(
            self.folder,
            DEVICE,
            trust=lambda: self.trust,
            clock=self.clock,
            fsync=lambda _descriptor: None,
        )

    def arrives(self, token: str) -> list[str]:
        """What the book says of it."""
        file = self.folder / PLAN_ORDER_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(token)
        self.book.renew()
        return [note.text for note in self.book.take_notes()]


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    return Camera(tmp_path)


def test_plan_of_the_server_is_in_force_and_outlives_a_restart(camera: Camera) -> None:
    assert camera.book.current() is None
    assert camera.book.why_none() == "none has come"
    assert camera.arrives(plan_token(SERVER, 7, DECLARED)) == ["plan order 7 is in force"]
    assert camera.book.current() == DECLARED
    camera.restart()
    assert camera.book.current() == DECLARED
    camera.book.renew()
    assert camera.book.take_notes() == []


def test_plan_that_declares_nothing_takes_the_one_before_back(camera: Camera) -> None:
    camera.arrives(plan_token(SERVER, 7, DECLARED))
    assert camera.arrives(plan_token(SERVER, 8, Declaration())) == [
        "plan order 8 took the plan back"
    ]
    assert camera.book.current() is None
    assert camera.book.why_none() == "plan order 8 took it back"


def test_plan_ends_with_its_expiry(camera: Camera) -> None:
    camera.arrives(plan_token(SERVER, 7, DECLARED, life_ns=DAY_NS))
    camera.clock.advance(86_399)
    assert camera.book.current() == DECLARED
    camera.clock.advance(2)
    assert camera.book.current() is None
    assert camera.book.why_none() == "plan order 7 has expired"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (plan_token(THIEF, 9, DECLARED), "is not known"),
        (plan_token(SERVER, 9, DECLARED, device_id="cam02"), "for device 'cam02'"),
        (plan_token(SERVER, 7, DECLARED), "replayed"),
        (plan_token(SERVER, 9, DECLARED, issued_ns=START_WALL_NS - 3 * DAY_NS), "expired"),
        (request_token(SERVER, 9, []), "not a plan"),
        ("rubbish", "not a compact JWS"),
    ],
)
def test_plan_that_is_not_to_be_obeyed_changes_nothing(
    token: str, why: str, camera: Camera
) -> None:
    other = Declaration(scenario="other")
    camera.arrives(plan_token(SERVER, 8, other))
    (said,) = camera.arrives(token)
    assert why in said
    assert camera.book.current() == other
    camera.restart()
    assert camera.book.current() == other


def test_plan_signed_by_a_key_not_learnt_yet_counts_once_it_is(camera: Camera) -> None:
    (said,) = camera.arrives(plan_token(THIEF, 9, DECLARED))
    assert "not known" in said
    camera.trust = Trust(receipt_keys=pinned([THIEF.public_key()]).receipt_keys, seq=1)
    camera.book.renew()
    assert camera.book.current() == DECLARED


def test_damaged_file_of_its_own_is_a_fault_and_no_plan(camera: Camera) -> None:
    camera.arrives(plan_token(SERVER, 7, DECLARED))
    (camera.folder / PLAN_FILE).write_bytes(b"\xff\x00torn")
    camera.restart()
    (note,) = camera.book.take_notes()
    assert note.is_fault
    assert "plan.jws" in note.text
    assert camera.book.current() is None
    assert camera.arrives(plan_token(SERVER, 8, DECLARED)) == ["plan order 8 is in force"]


def test_uplink_leaves_the_servers_plan_and_nothing_else_for_the_recorder(tmp_path: Path) -> None:
    mail = PlanMail(tmp_path, DEVICE, ManualClock())
    file = tmp_path / PLAN_ORDER_FILE
    token = plan_token(SERVER, 7, DECLARED)
    assert mail.take(token.encode(), TRUST) == "plan order 7: handed to the recorder"
    assert file.read_text() == token
    assert mail.take(token.encode(), TRUST) == ""
    for refused in (plan_token(THIEF, 9, DECLARED), plan_token(SERVER, 6, DECLARED), "x\xff"):
        with pytest.raises(Exception, match=r"refused|signature"):
            mail.take(refused.encode("latin-1"), TRUST)
    assert file.read_text() == token
    again = PlanMail(tmp_path, DEVICE, ManualClock())
    assert again.take(token.encode(), TRUST) == ""
