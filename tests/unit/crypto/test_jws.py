"""Signatures: only EdDSA by a known key over exactly these bytes is believed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from agent.crypto.jws import Signer, verify
from agent.crypto.keys import thumbprint
from agent.errors import CustodyError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Signer(KEY)


def known(kid: str) -> Ed25519PublicKey | None:
    return KEY.public_key() if kid == SIGNER.kid else None


def test_the_payload_comes_back_from_its_signature() -> None:
    assert verify(SIGNER.sign(b"payload"), known) == b"payload"


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    # RFC 8037 appendix A.1 and A.3: this public key has this thumbprint.
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert thumbprint(Ed25519PublicKey.from_public_bytes(x)) == expected


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_character_is_refused(part: int) -> None:
    parts = SIGNER.sign(b'{"a":1}').split(".")
    changed = "A" if parts[part][3] != "A" else "B"
    parts[part] = parts[part][:3] + changed + parts[part][4:]
    with pytest.raises(CustodyError):
        verify(".".join(parts), known)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(CustodyError, match="not known"):
        verify(Signer(Ed25519PrivateKey.generate()).sign(b"x"), known)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    header = base64.urlsafe_b64encode(f'{{"alg":"{algorithm}","kid":"x"}}'.encode())
    token = header.rstrip(b"=").decode() + ".e30."
    with pytest.raises(CustodyError, match="algorithm"):
        verify(token, known)


@given(st.text(max_size=200))
def test_rubbish_is_a_custody_error_and_nothing_else(token: str) -> None:
    with pytest.raises(CustodyError):
        verify(token, known)
