"""Sealing: opens with any recipient's key, with no other, and the hashes are those of the bytes."""

import hashlib

import pyrage
import pytest

from agent.crypto.seal import Sealer


def test_each_recipient_opens_and_a_stranger_does_not() -> None:
    server, escrow, stranger = (pyrage.x25519.Identity.generate() for _ in range(3))
    sealed = Sealer([server.to_public(), escrow.to_public()]).seal(b"footage")
    assert pyrage.decrypt(sealed.content, [server]) == b"footage"
    assert pyrage.decrypt(sealed.content, [escrow]) == b"footage"
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed.content, [stranger])


def test_the_hashes_are_those_of_the_sealed_and_the_plain_bytes() -> None:
    sealed = Sealer([pyrage.x25519.Identity.generate().to_public()]).seal(b"footage")
    assert sealed.ct_sha256 == hashlib.sha256(sealed.content).hexdigest()
    assert sealed.pt_sha256 == hashlib.sha256(b"footage").hexdigest()
    assert b"footage" not in sealed.content
