"""Scenario cards: the text in their QR code, signed by a card key.

    SL1 | signature, 96 characters of base45 | scenario/environment/site/trainer/consent/...

All of it is of the 45 characters that QR codes pack best, so that a whole card fits version 5 (37
modules a side) and a camera can read it at arm's length. So small letters travel as capitals, `_`
as `.`, and pseudonyms without their `p-`. The Ed25519 signature is over a prefix of its own and the
fields as printed, so nothing that the same key signs elsewhere is a card.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import CardError, WireError
from agent.wire.base45 import decode45, encode45
from agent.wire.declaration import Declaration

PREFIX = "SL1"
MAX_CARD_CHARS = 400
_DOMAIN = b"sightline scenario card 1\n"
_SIGNATURE_CHARS = 96
_MARK = "p-"


def sign_card(declaration: Declaration, key: Ed25519PrivateKey) -> str:
    """The text of the card's QR code."""
    fields = _printed(declaration)
    return f"{PREFIX}{encode45(key.sign(_DOMAIN + fields.encode('ascii')))}{fields}"


def read_card(text: str, keys: Mapping[str, Ed25519PublicKey]) -> Declaration:
    """What the card declares, once a key of `keys` (thumbprint -> key) has signed it.

    Raises CardError: no scenario card at all, signed by none of these keys, or words that no card
    of this version has.
    """
    if not text.startswith(PREFIX) or len(text) > MAX_CARD_CHARS:
        raise CardError("a QR code that is no scenario card")
    if not keys:
        raise CardError(
            "a scenario card, but this camera knows no card key",
            remedy="set trust.card_key_file, or send one (`sightline-collector order keys`)",
        )
    fields = text[len(PREFIX) + _SIGNATURE_CHARS :]
    try:
        signature = decode45(text[len(PREFIX) : len(PREFIX) + _SIGNATURE_CHARS])
        signed = _DOMAIN + fields.encode("ascii")
    except (WireError, UnicodeEncodeError) as exc:
        raise CardError("a scenario card that is damaged") from exc
    if not any(_stands(key, signature, signed) for key in keys.values()):
        raise CardError(
            "a scenario card by a key that this camera does not trust",
            remedy="print it anew with the card key in force",
        )
    return _meant(fields)


def _stands(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _printed(declaration: Declaration) -> str:
    people = (declaration.trainer, *declaration.consents)
    words = (declaration.scenario, declaration.environment, declaration.site)
    fields = (*words, *(each.removeprefix(_MARK) for each in people))
    return "/".join(fields).upper().replace("_", ".")


def _meant(fields: str) -> Declaration:
    words = fields.lower().replace(".", "_").split("/")
    try:
        scenario, environment, site, trainer, *consents = words
        return msgspec.convert(
            {
                "scenario": scenario,
                "environment": environment,
                "site": site,
                "trainer": trainer and _MARK + trainer,
                "consents": [_MARK + each for each in consents],
            },
            Declaration,
        )
    except (ValueError, msgspec.ValidationError) as exc:
        raise CardError("a scenario card that this version cannot read") from exc
