"""The keys of those who make scenario cards, and the register of who is behind a pseudonym.

DIR/card.key            signs cards (Ed25519, PEM); stays here
DIR/card.pub.pem        what cameras must know: trust.card_key_file, or an order about keys
DIR/pseudonyms.secret   makes pseudonyms; stays here, so that a person keeps theirs for ever
DIR/register.jsonl      who is behind each pseudonym, and every card made; personal data
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.keys import load_private_key
from agent.errors import KeyFileError
from agent.storage import atomic
from agent.wire.declaration import Declaration

KEY_FILE, PUBLIC_FILE = "card.key", "card.pub.pem"
SECRET_FILE, REGISTER_FILE = "pseudonyms.secret", "register.jsonl"
_SECRET_BYTES = 32
_PSEUDONYM_BYTES = 5
_MAX_PERSON_CHARS = 200


class Person(msgspec.Struct, frozen=True, tag="person"):
    """Who is behind a pseudonym. `role`: trainer or consent."""

    pseudonym: str
    role: str
    person: str


class Card(msgspec.Struct, frozen=True, tag="card"):
    """One card that was made."""

    declared: Declaration
    made: str


class CardOffice:
    """Opens the folder that `found_office` made. Raises KeyFileError when it is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.key = load_private_key(folder / KEY_FILE, "key of scenario cards")
        try:
            self._secret = bytes.fromhex((folder / SECRET_FILE).read_text("ascii"))
        except (OSError, ValueError) as exc:
            raise KeyFileError(
                f"{folder / SECRET_FILE} cannot be read ({exc})",
                remedy="restore it: with another one, persons get other pseudonyms",
            ) from exc

    def pseudonym(self, role: str, person: str) -> str:
        """The pseudonym of `person` in this role; the first time it is put into the register.

        The same person, however spaced or capitalised, has the same one for ever: 40 bits of an
        HMAC, so nobody without the secret can find or check a name behind it.
        """
        name = " ".join(unicodedata.normalize("NFC", person).casefold().split())
        if not name or len(name) > _MAX_PERSON_CHARS:
            raise KeyFileError(f"{person[:40]!r} is no {role}", remedy="give a name or an id")
        digest = hmac.digest(self._secret, f"{role}\n{name}".encode(), hashlib.sha256)
        text = "p-" + base64.b32encode(digest[:_PSEUDONYM_BYTES]).decode("ascii").lower()
        entry = Person(text, role, person)
        if not any(isinstance(e, Person) and e.pseudonym == text for e in self._register()):
            self._add(entry)
        return text

    def made(self, declared: Declaration, when: str) -> None:
        """Note a card that was made."""
        self._add(Card(declared, when))

    def _register(self) -> list[Person | Card]:
        file = self._folder / REGISTER_FILE
        try:
            return [
                msgspec.json.decode(line, type=Person | Card) for line in atomic.read_lines(file)
            ]
        except (OSError, msgspec.DecodeError) as exc:
            raise KeyFileError(f"{file} cannot be read ({exc})", remedy="restore it") from exc

    def _add(self, entry: Person | Card) -> None:
        file = self._folder / REGISTER_FILE
        try:
            atomic.append_line(file, msgspec.json.encode(entry))
        except OSError as exc:
            raise KeyFileError(f"{file} cannot be written ({exc.strerror})") from exc


def found_office(
    folder: Path,
    *,
    make_key: Callable[[], Ed25519PrivateKey] = Ed25519PrivateKey.generate,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Path:
    """Make keys in `folder`; the file with the public one. Raises KeyFileError: there is a key
    already, or the folder cannot be written."""
    if (folder / KEY_FILE).exists() or (folder / SECRET_FILE).exists():
        raise KeyFileError(f"{folder} holds a card key already", remedy="give another folder")
    key = make_key()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        atomic.make_directory(folder)
        secret = random_bytes(_SECRET_BYTES).hex().encode("ascii")
        atomic.write_file(folder / SECRET_FILE, secret)
        atomic.write_file(folder / PUBLIC_FILE, public, mode=0o644)
        atomic.write_file(folder / KEY_FILE, private)
    except OSError as exc:
        raise KeyFileError(f"{folder} cannot be written ({exc.strerror})") from exc
    return folder / PUBLIC_FILE
