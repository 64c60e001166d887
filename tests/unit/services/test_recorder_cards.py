"""Scenario cards and session plans at the recorder: what is declared of which session."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Cards
from agent.crypto.cards import sign_card
from agent.crypto.trust import pinned
from agent.ipc import sockets
from agent.ipc.messages import CodeSeen, EventMessage, EventOccurred, unpack
from agent.services.keyring import Keyring
from agent.services.plan_book import PLAN_ORDER_FILE, PlanBook
from agent.wire.declaration import Declaration
from agent.wire.label_sheet import DeclaredLabel
from agent.wire.telemetry import DeviceEvent
from tests.card_maker import DECLARED
from tests.clock import ManualClock
from tests.fake_tagger import FakeTagger
from tests.order_maker import key_orders, keys_token, plan_token
from tests.recorder_rig import DEVICE, Keys, MakeRig, Rig

SERVER, CARD_KEY, OTHER_KEY = (Ed25519PrivateKey.generate() for _ in range(3))
CARD = sign_card(DECLARED, CARD_KEY)
LABELS = DECLARED.labels("card")
OTHER = Declaration(scenario="patrol")


@pytest.fixture
def rig(make_rig: MakeRig, tmp_path: Path) -> Rig:
    return with_keys(make_rig, tmp_path)


def with_keys(make_rig: MakeRig, folder: Path, **settings: object) -> Rig:
    """A recorder that trusts SERVER and cards by CARD_KEY."""
    keys, clock, state = Keys(), ManualClock(), folder / "state"
    keyring = Keyring(
        state,
        DEVICE,
        pinned=pinned(
            [SERVER.public_key()], [str(keys.identity.to_public())], [CARD_KEY.public_key()]
        ),
        custody_key=keys.signer._key,
        clock=clock,
        fsync=lambda _descriptor: None,
    )
    plans = PlanBook(
        state,
        DEVICE,
        trust=lambda: keyring.trust,
        clock=clock,
        fsync=lambda _descriptor: None,
    )
    return make_rig(keys=keys, clock=clock, keyring=keyring, plans=plans, **settings)


def show(rig: Rig, tagger: FakeTagger, text: str = CARD) -> None:
    """The tagger sees this code now, and the recorder hears of it."""
    said = len(rig.card_answers)
    tagger.say(CodeSeen(rig.clock.boot_ns(), text))
    rig.until(lambda: len(rig.card_answers) > said, "an answer to the card")


def send(rig: Rig, name: Path | str, content: bytes) -> None:
    """What the uplink leaves; the recorder looks at it every five seconds."""
    file = rig.folder / "state" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    rig.run(5.5)
    rig.written()


def declared(rig: Rig, item: int | str) -> tuple[DeclaredLabel, ...]:
    shelved = rig.item(item)
    return shelved.record.declared if item == "record" else shelved.sheet.declared


def record(rig: Rig, seconds: float = 3) -> None:
    rig.run(seconds)
    rig.stop()
    rig.run(1.5)
    rig.settle()


def test_card_shown_in_standby_is_declared_of_the_next_session_and_of_no_later_one(
    rig: Rig,
) -> None:
    tagger = FakeTagger(rig)
    show(rig, tagger)
    assert rig.card_answers == ["card"]
    rig.run(10)
    assert rig.recorder.status().card_shown == (
        "scenario card read 10 s ago, holds for the next start"
    )
    rig.start(weather="rain")
    record(rig)
    assert declared(rig, 0) == (
        DeclaredLabel(key="weather", value="rain", source="control"),
        *LABELS,
    )
    assert declared(rig, "record") == declared(rig, 0)
    rig.start()
    record(rig)
    second = rig.item(0, session=rig.outbox()[-1].rsplit("-", 1)[0])
    assert second.sheet.declared == ()


def test_card_counts_no_longer_than_its_time_before_a_start(rig: Rig) -> None:
    show(rig, FakeTagger(rig))
    rig.clock.advance(121)
    assert "holds" not in rig.recorder.status().card_shown
    rig.start()
    record(rig)
    assert declared(rig, 0) == ()


def test_card_shown_soon_after_the_start_goes_to_open_clips_and_the_record(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    rig.start()
    tagger.run(10)  # the first clips have closed
    rig.written()
    show(rig, tagger)
    tagger.run(2)
    record(rig, 1)
    assert declared(rig, 0) == ()
    assert declared(rig, 2) == LABELS
    assert declared(rig, "record") == LABELS


def test_card_shown_too_late_in_a_session_is_not_looked_at(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    rig = with_keys(make_rig, tmp_path, cards=Cards(after_start_s=3))
    tagger = FakeTagger(rig)
    rig.start()
    tagger.run(3.5)
    tagger.say(CodeSeen(rig.clock.boot_ns(), CARD))
    tagger.run(1)
    record(rig, 1)
    assert rig.card_answers == []
    assert declared(rig, "record") == ()


def test_card_in_the_post_roll_is_for_the_next_session(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = with_keys(make_rig, tmp_path, post_roll_s=5)
    tagger = FakeTagger(rig)
    rig.start()
    rig.run(2)
    rig.stop()
    rig.run(1)
    show(rig, tagger)
    rig.run(6)
    rig.settle()
    assert declared(rig, "record") == ()
    first = set(rig.outbox())
    rig.start()
    rig.run(2)
    rig.stop()
    rig.run(7)
    rig.settle()
    (session,) = {name.rsplit("-", 1)[0] for name in set(rig.outbox()) - first}
    assert rig.item("record", session=session).record.declared == LABELS


def test_last_of_several_cards_counts(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    show(rig, tagger, sign_card(OTHER, CARD_KEY))
    show(rig, tagger)
    rig.start()
    rig.run(1)
    show(rig, tagger, sign_card(OTHER, CARD_KEY))
    record(rig)
    assert declared(rig, "record") == OTHER.labels("card")


def test_card_that_is_held_up_is_answered_once_and_again_when_shown_again(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    show(rig, tagger)
    for _ in range(5):
        rig.clock.advance(1)
        tagger.say(CodeSeen(rig.clock.boot_ns(), CARD))
    rig.run(1)
    assert rig.card_answers == ["card"]
    rig.clock.advance(10)
    show(rig, tagger)
    assert rig.card_answers == ["card", "card"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (sign_card(DECLARED, OTHER_KEY), "a key that this camera does not trust"),
        ("SL1!" + CARD[4:], "damaged"),
    ],
)
def test_forged_or_damaged_card_is_ignored_with_one_line(text: str, line: str, rig: Rig) -> None:
    tagger = FakeTagger(rig)
    show(rig, tagger, text)
    for _ in range(3):
        tagger.say(CodeSeen(rig.clock.boot_ns(), text))
    rig.run(1)
    assert rig.card_answers == ["refused"]
    assert rig.recorder.status().card_shown.startswith("ignored: ")
    assert line in rig.recorder.status().card_shown
    rig.start()
    record(rig)
    assert declared(rig, "record") == ()


def test_code_that_is_no_card_is_said_in_the_status_and_answered_by_nothing(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    tagger.say(CodeSeen(rig.clock.boot_ns(), "https://example.org"))
    rig.until(lambda: rig.recorder.status().card_shown != "", "the line")
    assert "a QR code that is no scenario card" in rig.recorder.status().card_shown
    assert "example" not in rig.recorder.status().card_shown
    assert rig.card_answers == []


def test_what_a_card_declares_is_in_no_event_and_no_status(rig: Rig) -> None:
    folder = rig.settings.paths.runtime_dir
    events = sockets.bind(rig.context, zmq.PULL, folder, "events", high_water=1000)
    tagger = FakeTagger(rig)
    show(rig, tagger)
    rig.start()
    record(rig)
    heard: list[DeviceEvent] = []
    while events.poll(500):
        payload = events.recv()
        message: EventMessage = unpack(EventMessage, payload)
        assert b"hostage" not in payload
        assert b"abcd2345" not in payload
        if isinstance(message, EventOccurred) and message.event.kind == "card":
            heard.append(message.event)
    events.close(linger=0)
    assert [event.text for event in heard] == ["scenario card read"]


def test_order_about_keys_changes_whose_cards_count(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    recipient = str(rig.keys.identity.to_public())
    token = keys_token(SERVER, 5, [SERVER], recipients=[recipient], card_keys=[OTHER_KEY])
    send(rig, "orders/keys.json", key_orders(token))
    assert rig.recorder.status().keys_order == 5
    show(rig, tagger)
    show(rig, tagger, sign_card(OTHER, OTHER_KEY))
    assert rig.card_answers == ["refused", "card"]
    # An order that says nothing of card keys leaves them as they are.
    token2 = keys_token(SERVER, 6, [SERVER], recipients=[recipient])
    send(rig, "orders/keys.json", key_orders(token, token2))
    assert rig.recorder.status().keys_order == 6
    rig.clock.advance(10)
    show(rig, tagger, sign_card(OTHER, OTHER_KEY))
    assert rig.card_answers[-1] == "card"


def test_camera_without_a_card_key_says_so(make_rig: MakeRig) -> None:
    rig = make_rig()
    show(rig, FakeTagger(rig))
    assert "knows no card key" in rig.recorder.status().card_shown


def test_plan_is_declared_beside_a_card_each_with_its_source(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    send(rig, PLAN_ORDER_FILE, plan_token(SERVER, 3, OTHER).encode())
    assert rig.recorder.status().plan == "in force"
    show(rig, tagger)
    rig.start()
    record(rig)
    assert declared(rig, 0) == (*OTHER.labels("plan"), *LABELS)


def test_compulsory_plan_lets_nothing_start_without_one(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = with_keys(make_rig, tmp_path, require_plan=True)
    refused = rig.start()
    assert "no session plan is in force (none has come)" in refused.refused
    assert refused.status.state == "standby"
    send(rig, PLAN_ORDER_FILE, plan_token(SERVER, 3, OTHER).encode())
    assert rig.start().refused == ""
    record(rig)
    rig.clock.advance(86_400)
    assert "plan order 3 has expired" in rig.start().refused
    assert rig.recorder.status().plan == "none (plan order 3 has expired)"


def test_session_that_the_cap_split_keeps_what_a_card_declared_late(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    rig = with_keys(make_rig, tmp_path, session_cap_s=10)
    tagger = FakeTagger(rig)
    rig.start()
    tagger.run(2)
    show(rig, tagger)
    tagger.run(12)
    record(rig, 1)
    sessions = {name.rsplit("-", 1)[0] for name in rig.outbox()}
    assert len(sessions) == 2
    for session in sessions:
        assert rig.item("record", session=session).record.declared == LABELS
