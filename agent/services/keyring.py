"""The recorder's keys: whom footage is sealed to, and what custody lines are signed with.

Both change between clips, never within one. The server's orders lie where the uplink left them; the
recorder obeys only those that verify from its own pinned keys (see `trust_book`). A new custody key
is made here and signed by the one before it; the old private key is not used again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.crypto import jws
from agent.crypto.keys import load_private_key, thumbprint
from agent.crypto.seal import Sealer
from agent.crypto.trust import Trust, public_key, public_text
from agent.errors import CustodyError, KeyFileError, OrderError, SpoolError, WireError
from agent.ports.clock import Clock
from agent.services.trust_book import FileWatch, TrustBook, moment, read_key_orders
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.orders import CustodyKey, CustodyKeys

log = logging.getLogger("keyring")

ORDERS_FILE = Path("orders") / "keys.json"
TRUST_FILE = Path("trust") / "keys.json"
CUSTODY_KEYS_FILE = Path("trust") / "custody-keys.json"

MakeKey = Callable[[], Ed25519PrivateKey]


class KeyNote(msgspec.Struct, frozen=True):
    """Something about keys that a fleet admin should hear: an order obeyed, or a fault."""

    text: str
    is_fault: bool


class Keyring:
    """Used from one thread at a time: first the recorder's start, then its writer thread.

    `pinned` and `custody_key` are of the provisioning. Raises nothing for damaged files of its own:
    the older keys hold, and a note says so.
    """

    def __init__(
        self,
        state_dir: Path,
        device_id: str,
        *,
        pinned: Trust,
        custody_key: Ed25519PrivateKey,
        clock: Clock,
        make_key: MakeKey = Ed25519PrivateKey.generate,
        fsync: atomic.Fsync = os.fsync,
    ) -> None:
        self._state_dir, self._device_id = state_dir, device_id
        self._clock, self._make_key, self._fsync = clock, make_key, fsync
        self._book = TrustBook(state_dir / TRUST_FILE, device_id, pinned, fsync=fsync)
        self._orders = state_dir / ORDERS_FILE
        self._watch = FileWatch(self._orders)
        self._notes: list[KeyNote] = []
        if self._book.problem:
            self._note(self._book.problem, is_fault=True)
        self._sealer = Sealer(self._book.trust.age_recipients())
        self._signer = jws.Signer(custody_key)
        self._certificates: list[str] = []
        self._is_damaged = False
        self.custody_keys = {self._signer.kid: self._signer.public_key}
        self._load_custody_keys()

    @property
    def sealer(self) -> Sealer:
        return self._sealer

    @property
    def signer(self) -> jws.Signer:
        return self._signer

    @property
    def trust(self) -> Trust:
        return self._book.trust

    @property
    def order(self) -> int:
        """Number of the newest order that is obeyed; 0: the pinned keys."""
        return self._book.trust.seq

    def key_for(self, kid: str) -> Ed25519PublicKey | None:
        """The custody keys that this camera ever had."""
        return self.custody_keys.get(kid)

    def renew(self) -> None:
        """Obey what lies in the orders file, if it is new. Never raises: a refusal is a note."""
        try:
            if self._watch.has_changed():
                self._take(read_key_orders(self._orders))
            wanted = self._book.trust.custody_generation
            # On damaged certificates a new one would be a second word of the same older key.
            if wanted > len(self._certificates) and not self._is_damaged:
                self._make_custody_key()
        except (OrderError, WireError) as exc:
            self._note(str(exc), is_fault=True)
        except SpoolError as exc:
            self._watch.forget()
            self._note(f"new keys wait for the card: {exc}", is_fault=True)

    def take_notes(self) -> list[KeyNote]:
        notes, self._notes = self._notes, []
        return notes

    def _take(self, tokens: tuple[str, ...]) -> None:
        if not tokens:
            return
        order = self._book.take(tokens, moment(self._clock))
        if order is None:
            return
        self._sealer = Sealer(self._book.trust.age_recipients())
        count = len(self._book.trust.recipients)
        plural = "" if count == 1 else "s"
        self._note(
            f"keys order {order.seq}: clips are sealed to {count} recipient{plural} from the next"
            " one on",
            is_fault=False,
        )

    def _make_custody_key(self) -> None:
        """Key first, then its certificate: what a cut leaves between them is made anew."""
        generation = len(self._certificates) + 1
        key = self._make_key()
        token = self._signer.sign(
            encode(
                CustodyKey(
                    device_id=self._device_id,
                    generation=generation,
                    public_key=public_text(key.public_key()),
                )
            )
        )
        certificates = [*self._certificates, token]
        file = self._state_dir / CUSTODY_KEYS_FILE
        try:
            atomic.make_directory(file.parent, fsync=self._fsync)
            atomic.write_file(self._key_file(generation), _pem(key), fsync=self._fsync)
            content = encode(CustodyKeys(keys=tuple(certificates)))
            atomic.write_file(file, content, fsync=self._fsync)
        except OSError as exc:
            raise SpoolError(f"{file} cannot be written ({exc.strerror})") from exc
        self._certificates = certificates
        self._sign_with(key)
        self._note(
            f"custody key {generation} ({self._signer.kid}) signs from the next clip on",
            is_fault=False,
        )

    def _load_custody_keys(self) -> None:
        file = self._state_dir / CUSTODY_KEYS_FILE
        try:
            tokens = decode(CustodyKeys, file.read_bytes()).keys
        except FileNotFoundError:
            return
        except (OSError, WireError) as exc:
            self._cannot_use(file, exc)
            return
        try:
            known = self._signer.kid
            for token in tokens:
                known = self._follow(token, known)
            if tokens:
                newest = load_private_key(self._key_file(len(tokens)), "custody key")
                self._sign_with(newest, known)
        except (CustodyError, WireError, ValueError, KeyFileError) as exc:
            self._cannot_use(file, exc)

    def _cannot_use(self, file: Path, exc: Exception) -> None:
        self._is_damaged = True
        self._note(
            f"{file} cannot be used ({exc}): the custody key of the provisioning signs"
            " (provision the camera again)",
            is_fault=True,
        )

    def _follow(self, token: str, before: str) -> str:
        """Take the certificate `token`, which the key `before` must have signed: its own kid."""
        signer = self.custody_keys[before]
        payload = jws.verify(token, lambda kid: signer if kid == before else None)
        key = public_key(decode(CustodyKey, payload).public_key)
        kid = thumbprint(key)
        self.custody_keys[kid] = key
        self._certificates.append(token)
        return kid

    def _sign_with(self, key: Ed25519PrivateKey, expected_kid: str = "") -> None:
        signer = jws.Signer(key)
        if expected_kid not in ("", signer.kid):
            raise CustodyError(f"the private key of {expected_kid} is another one")
        self._signer = signer
        self.custody_keys[signer.kid] = signer.public_key

    def _key_file(self, generation: int) -> Path:
        return self._state_dir / TRUST_FILE.parent / f"custody-{generation}.key"

    def _note(self, text: str, *, is_fault: bool) -> None:
        (log.error if is_fault else log.info)("%s", text)
        self._notes.append(KeyNote(text, is_fault))


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
