from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.crypto.cards import read_card, sign_card
from agent.crypto.keys import thumbprint
from agent.errors import CardError
from agent.wire.declaration import Declaration
from tests.card_maker import DECLARED

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {thumbprint(KEY.public_key()): KEY.public_key()}
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))

words = st.text("abcxyz019_-", max_size=32).filter(lambda word: word[:1] not in ("_", "-"))
people = st.text("abcxyz2347", min_size=8, max_size=8).map("p-{}".format)
declarations = st.builds(
    Declaration,
    scenario=words,
    environment=words,
    site=words,
    trainer=people | st.just(""),
    consents=st.lists(people, max_size=8).map(tuple),
)


@given(declarations)
def test_card_says_what_was_signed(declared: Declaration) -> None:
    assert read_card(sign_card(declared, KEY), KEYS) == declared


def test_card_is_of_the_letters_that_qr_codes_pack_best_and_short_enough_for_version_5() -> None:
    text = sign_card(DECLARED, KEY)
    assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert len(text) <= 154  # ISO 18004, version 5-L, alphanumeric


@given(st.integers(0, 400), st.sampled_from("0Z./:"))
def test_card_with_one_letter_changed_is_refused(at: int, letter: str) -> None:
    text = sign_card(DECLARED, KEY)
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        with pytest.raises(CardError):
            read_card(changed, KEYS)


@given(st.text(max_size=500))
def test_any_other_text_is_refused_with_a_line(text: str) -> None:
    for tried in (text, f"SL1{text}"):
        with pytest.raises(CardError, match="scenario card"):
            read_card(tried, KEYS)


def test_forged_card_says_that_its_key_is_not_trusted() -> None:
    with pytest.raises(CardError, match="a key that this camera does not trust"):
        read_card(sign_card(DECLARED, OTHER), KEYS)


def test_camera_without_card_keys_says_what_it_lacks() -> None:
    with pytest.raises(CardError, match="knows no card key"):
        read_card(sign_card(DECLARED, KEY), {})


def test_what_the_same_key_signed_elsewhere_is_no_card() -> None:
    text = sign_card(DECLARED, KEY)
    fields = text[99:]
    from agent.wire.base45 import encode45

    bare = "SL1" + encode45(KEY.sign(fields.encode())) + fields
    with pytest.raises(CardError, match="does not trust"):
        read_card(bare, KEYS)
