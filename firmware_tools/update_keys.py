"""Private keys of the update repository: one Ed25519 key a file, PEM, mode 0600, never copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from agent.errors import KeyFileError
from agent.storage import atomic

Signers = Mapping[str, CryptoSigner]
"""By key id."""


def make_key(file: Path) -> CryptoSigner:
    """A fresh key in `file`, which must not be there. Raises KeyFileError."""
    if file.exists():
        raise KeyFileError(f"{file} is there already", remedy="a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        atomic.make_directory(file.parent)
        atomic.write_file(file, pem, mode=0o600)
    except OSError as exc:
        raise KeyFileError(f"{file} cannot be written ({exc.strerror})") from exc
    return CryptoSigner(key)


def load_signers(folders: Iterable[Path]) -> dict[str, CryptoSigner]:
    """All keys in `*.pem` of `folders`. Raises KeyFileError for one that is no Ed25519 key."""
    signers = {}
    for folder in folders:
        for file in sorted(folder.glob("*.pem")):
            signer = CryptoSigner(_private_key(file))
            signers[signer.public_key.keyid] = signer
    return signers


def _private_key(file: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise KeyFileError(f"update key {file} cannot be used ({exc})") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"update key {file} is no Ed25519 key", remedy="`sightline keys init`")
    return key
