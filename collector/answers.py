"""What the collector says to a camera, signed where it must hold for ever."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import msgspec

from agent.crypto.jws import Signer
from agent.ports.broker import Broker
from agent.wire.codec import encode
from agent.wire.topics import down_clip
from agent.wire.transfer import ClipState, Need, Never, Open, Receipt, Refusal, Stored
from collector.verification import VerifiedOpen

_MAX_WHY = 500


class Answers:
    """Publishes states. What cannot be sent now is not kept: the camera asks again. `renewed`
    gives a receipt or refusal of long ago the signature that counts today."""

    def __init__(self, broker: Broker, renewed: Callable[[str], str]) -> None:
        self._broker = broker
        self._renewed = renewed

    def send(self, device_id: str, clip_id: str, state: ClipState) -> None:
        if isinstance(state, Stored):
            state = msgspec.structs.replace(state, receipt=self._renewed(state.receipt))
        elif isinstance(state, Never):
            state = msgspec.structs.replace(state, refusal=self._renewed(state.refusal))
        # A lost Need is repaired by the next one; the others are said once.
        qos = 0 if isinstance(state, Need) else 1
        self._broker.publish(down_clip(device_id, clip_id), encode(state), qos=qos)


class Notary:
    """Signs receipts and refusals with the collector's receipt key."""

    def __init__(self, signer: Signer, collector: str, wall_ns: Callable[[], int]) -> None:
        self._signer = signer
        self.collector = collector
        self.wall_ns = wall_ns

    def receipt(self, verified: VerifiedOpen) -> tuple[str, Receipt]:
        body = Receipt(
            clip_id=verified.manifest.clip_id,
            manifest_sha256=verified.manifest_sha256,
            custody_head=verified.custody_head,
            stored_wall_ns=self.wall_ns(),
            collector=self.collector,
        )
        return self._signer.sign(encode(body)), body

    def renewed(self, token: str) -> str:
        """A receipt or refusal of ours as the key in force signs it: the camera may have been told
        meanwhile to believe the older key no more. What cannot be read stays as it is."""
        try:
            header, payload, _signature = token.split(".")
            kid = msgspec.json.decode(_unb64(header), type=_Header).kid
            return token if kid == self._signer.kid else self._signer.sign(_unb64(payload))
        except (ValueError, msgspec.DecodeError):
            return token

    def refusal(self, clip_id: str, manifest_sha256: str, why: str) -> tuple[str, Refusal]:
        body = Refusal(
            clip_id=clip_id,
            manifest_sha256=manifest_sha256,
            why=why[:_MAX_WHY],
            refused_wall_ns=self.wall_ns(),
            collector=self.collector,
        )
        return self._signer.sign(encode(body)), body


class _Header(msgspec.Struct, frozen=True):
    kid: str


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def open_hash(opened: Open) -> str:
    """SHA-256 over what a verdict depends on: the manifest and the custody lines."""
    text = "\n".join((opened.manifest, *opened.custody))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
