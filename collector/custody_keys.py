"""Takes up the custody keys that cameras made themselves, each signed by the one before it.

`<devices_dir>/<device_id>/custody-<kid>.pem` is the key, `custody-<kid>.jws` the older key's word
for it. Old keys stay: old clips must verify. A key vouches for one successor only, so that a thief
with a key that was rotated out cannot name one of his own.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto import jws
from agent.crypto.keys import thumbprint
from agent.crypto.trust import public_key
from agent.errors import CustodyError, WireError
from agent.storage import atomic
from agent.wire.codec import decode
from agent.wire.orders import MAX_ORDER_CHARS, CustodyKey, CustodyKeys
from collector.report import Report
from collector.verification import KeysOf


class Vouched(msgspec.Struct, frozen=True):
    """One verified certificate: who vouches, for which key."""

    by_kid: str
    kid: str
    key: Ed25519PublicKey


class CustodyRegister:
    """The folder of custody keys, where it grows."""

    def __init__(self, devices_dir: Path, keys_of: KeysOf, report: Report) -> None:
        self._devices_dir = devices_dir
        self._keys_of = keys_of
        self._report = report

    def take(self, device_id: str, payload: bytes) -> None:
        """What came from `device_id` about its keys: new ones are kept, what cannot be proven is
        reported and changes nothing. Raises WireError when it cannot be read at all."""
        for token in decode(CustodyKeys, payload).keys:
            try:
                self._take_one(device_id, token)
            except (CustodyError, WireError, ValueError) as exc:
                why = exc.what if isinstance(exc, (CustodyError, WireError)) else str(exc)
                self._report.complain(
                    f"custody key {device_id}", f"custody key of {device_id} refused: {why}"
                )
                return
            except OSError as exc:
                self._report.complain(
                    f"custody key {device_id}",
                    f"custody key of {device_id} cannot be kept ({exc.strerror})",
                )
                return

    def _take_one(self, device_id: str, token: str) -> None:
        keys = self._keys_of(device_id)
        found = _vouched(token, keys, device_id)
        folder = self._devices_dir / device_id
        for other in sorted(folder.glob("custody-*.jws")):
            known = _vouched(other.read_text("ascii")[:MAX_ORDER_CHARS].strip(), keys, device_id)
            if known.by_kid == found.by_kid and known.kid != found.kid:
                raise CustodyError(
                    f"key {found.by_kid} vouched for {known.kid} before, and now for {found.kid}"
                )
        if found.kid in keys:
            return
        stem = folder / f"custody-{found.kid}"
        atomic.write_file(stem.with_suffix(".jws"), f"{token}\n".encode("ascii"), mode=0o644)
        atomic.write_file(stem.with_suffix(".pem"), _pem(found.key), mode=0o644)
        self._report.event("custody_key", device_id=device_id, kid=found.kid, by=found.by_kid)
        self._report.line(f"{device_id} signs with custody key {found.kid} from now on")


def _vouched(token: str, keys: dict[str, Ed25519PublicKey], device_id: str) -> Vouched:
    signers: list[str] = []

    def key_for(kid: str) -> Ed25519PublicKey | None:
        signers.append(kid)
        return keys.get(kid)

    said = decode(CustodyKey, jws.verify(token, key_for))
    if said.device_id != device_id:
        raise CustodyError(f"it is of device {said.device_id[:40]!r}")
    key = public_key(said.public_key)
    return Vouched(signers[0], thumbprint(key), key)


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
