"""Key files: Ed25519 keys in PEM, age recipients one a line. Secrets stay in their files."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pyrage
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import KeyFileError

_MAX_KEY_FILE_BYTES = 64 * 1024


def load_private_key(path: Path, purpose: str) -> Ed25519PrivateKey:
    """The Ed25519 key in the PKCS#8 PEM file `path`. Raises KeyFileError naming `purpose`."""
    content = _read(path, purpose)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyFileError(
            f"{purpose}: {path} holds no PEM private key", remedy="provision the key again"
        ) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{purpose}: {path} is not an Ed25519 key", remedy="provision it again")
    return key


def load_public_key(path: Path, purpose: str) -> Ed25519PublicKey:
    """The Ed25519 key in the PEM file `path`. Raises KeyFileError naming `purpose`."""
    content = _read(path, purpose)
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyFileError(
            f"{purpose}: {path} holds no PEM public key",
            remedy="copy it from the collection server",
        ) from exc
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{purpose}: {path} is not an Ed25519 key")
    return key


def load_recipients(path: Path) -> list[pyrage.x25519.Recipient]:
    """The age recipients in `path`: one `age1...` a line, `#` comments and empty lines skipped.

    Raises KeyFileError: file missing, a line that is no recipient (by its number), or none at all:
    footage sealed to nobody would be lost.
    """
    purpose = "collection server's age recipients"
    recipients = []
    for number, line in enumerate(_read(path, purpose).decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            recipients.append(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError as exc:
            raise KeyFileError(
                f"{purpose}: {path} line {number} is no age public key",
                remedy="each line is one age1... key",
            ) from exc
    if not recipients:
        raise KeyFileError(f"{purpose}: {path} names none", remedy="add the server's age1... key")
    return recipients


def thumbprint(key: Ed25519PublicKey) -> str:
    """RFC 7638 thumbprint of the key as a JWK (OKP, RFC 8037): the `kid` of what it signs."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64url(key.public_bytes_raw())}"}}'
    return b64url(hashlib.sha256(jwk.encode("ascii")).digest())


def b64url(content: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _read(path: Path, purpose: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_KEY_FILE_BYTES + 1)
    except OSError as exc:
        raise KeyFileError(
            f"{purpose}: {path} cannot be read ({exc.strerror})",
            remedy="provision this machine, or correct the path in the configuration",
        ) from exc
    if len(content) > _MAX_KEY_FILE_BYTES:
        raise KeyFileError(f"{purpose}: {path} is too large for a key file")
    return content
