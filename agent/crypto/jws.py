"""Compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), and no other algorithm."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.crypto.keys import b64url, thumbprint
from agent.errors import CustodyError

_MAX_TOKEN_CHARS = 16 * 1024


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str


class Signer:
    """Signs payloads with one key; `kid` is its thumbprint."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.kid = thumbprint(key.public_key())
        self._header = b64url(msgspec.json.encode(_Header("EdDSA", self.kid)))

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, payload: bytes) -> str:
        """The compact JWS of `payload` (header.payload.signature)."""
        signed = f"{self._header}.{b64url(payload)}"
        return f"{signed}.{b64url(self._key.sign(signed.encode('ascii')))}"


def verify(token: str, key_for: Callable[[str], Ed25519PublicKey | None]) -> bytes:
    """The payload of `token`, once its signature stands. `key_for(kid)` gives the key or None.

    Raises CustodyError: malformed, another algorithm, a key not known, or a wrong signature.
    """
    if len(token) > _MAX_TOKEN_CHARS or not token.isascii() or token.count(".") != 2:
        raise CustodyError("signature: not a compact JWS")
    header_part, payload_part, signature_part = token.split(".")
    try:
        header = msgspec.json.decode(_unb64(header_part), type=_Header)
        payload, signature = _unb64(payload_part), _unb64(signature_part)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as exc:
        raise CustodyError("signature: not a compact JWS") from exc
    if header.alg != "EdDSA":
        raise CustodyError(f"signature: algorithm {header.alg[:20]!r} is not accepted")
    key = key_for(header.kid)
    if key is None:
        raise CustodyError(f"signature: key {header.kid[:50]!r} is not known")
    try:
        key.verify(signature, f"{header_part}.{payload_part}".encode("ascii"))
    except InvalidSignature as exc:
        raise CustodyError("signature: does not verify") from exc
    return payload


def _unb64(text: str) -> bytes:
    if "=" in text:
        raise ValueError("padding is not allowed")
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64url(decoded) != text:
        raise ValueError("not canonical base64url")
    return decoded
