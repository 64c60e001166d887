"""What the collector says to a camera, signed where it must hold for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agent.crypto.jws import Signer
from agent.ports.broker import Broker
from agent.wire.codec import encode
from agent.wire.topics import down_clip
from agent.wire.transfer import ClipState, Need, Open, Receipt, Refusal
from collector.verification import VerifiedOpen

_MAX_WHY = 500


class Answers:
    """Publishes states. What cannot be sent now is not kept: the camera asks again."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def send(self, device_id: str, clip_id: str, state: ClipState) -> None:
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

    def refusal(self, clip_id: str, manifest_sha256: str, why: str) -> tuple[str, Refusal]:
        body = Refusal(
            clip_id=clip_id,
            manifest_sha256=manifest_sha256,
            why=why[:_MAX_WHY],
            refused_wall_ns=self.wall_ns(),
            collector=self.collector,
        )
        return self._signer.sign(encode(body)), body


def open_hash(opened: Open) -> str:
    """SHA-256 over what a verdict depends on: the manifest and the custody lines."""
    text = "\n".join((opened.manifest, *opened.custody))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
