"""Sealing with age (age-encryption.org/v1, X25519): the camera cannot read back what it wrote."""

from __future__ import annotations

import hashlib

import msgspec
import pyrage


class Sealed(msgspec.Struct, frozen=True):
    """Sealed bytes and the hashes (hex SHA-256) of the sealed and of the plain bytes."""

    content: bytes
    ct_sha256: str
    pt_sha256: str


class Sealer:
    """Seals to a fixed set of recipients; any one of their keys opens."""

    def __init__(self, recipients: list[pyrage.x25519.Recipient]) -> None:
        self._recipients = recipients

    def seal(self, plain: bytes) -> Sealed:
        content = pyrage.encrypt(plain, self._recipients)
        return Sealed(
            content, hashlib.sha256(content).hexdigest(), hashlib.sha256(plain).hexdigest()
        )
