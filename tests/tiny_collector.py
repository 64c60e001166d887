"""The other end of the wire, in memory: enough of a collector to test a camera against."""

from __future__ import annotations

import hashlib

import google_crc32c
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.jws import Signer
from agent.ports.broker import Arrived, Broker
from agent.wire.codec import decode, encode
from agent.wire.custody import line_hash
from agent.wire.manifest import Manifest, decode_manifest
from agent.wire.topics import ROOT, UpClip, down_clip, parse_up_clip
from agent.wire.transfer import (
    CRC_PROPERTY,
    Later,
    Need,
    Never,
    Open,
    Receipt,
    Refusal,
    Stored,
    pack_have,
    part_count,
)

UP_ALL = f"{ROOT}/up/#"


class Ongoing(msgspec.Struct):
    """One clip as far as it came."""

    manifest: Manifest
    manifest_sha256: str
    custody_head: str
    part_bytes: int
    parts: dict[int, bytes]


class TinyCollector:
    """Answers over `broker`, whose owner has connected it. `answers` chooses, per clip id, what it
    gets in place of a receipt or of a first Need:

    "never", "later" (once, 5 s), "bad receipt" (of a stranger), "other clip", "other head".
    """

    def __init__(self, broker: Broker, key: Ed25519PrivateKey, *, window_bytes: int = 1 << 20):
        self.answers: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}
        self.opens: list[str] = []
        self.received: list[tuple[str, int]] = []
        self.events: list[bytes] = []
        self.statuses: list[bytes] = []
        self.ongoing: dict[str, Ongoing] = {}
        self.keeps_first_size = False  # of the parts, as the collectors of a group do
        self._broker = broker
        self._signer = Signer(key)
        self._stranger = Signer(Ed25519PrivateKey.generate())
        self._window_bytes = window_bytes

    def step(self) -> bool:
        """Take in all that is there and answer. True when anything came."""
        came = False
        touched: dict[str, str] = {}
        while (item := self._broker.read(0)) is not None:
            came = True
            if not isinstance(item, Arrived):
                continue
            if item.topic.endswith("/event"):
                self.events.append(item.payload)
            elif item.topic.endswith("/status"):
                self.statuses.append(item.payload)
            else:
                where = parse_up_clip(item.topic)
                self._take(where, item)
                touched[where.clip_id] = where.device_id
        for clip_id, device_id in touched.items():
            self._answer(device_id, clip_id)
        return came

    def _take(self, where: UpClip, item: Arrived) -> None:
        if where.part is None:
            opened = decode(Open, item.payload)
            body = opened.manifest.encode()
            self.opens.append(where.clip_id)
            known = self.ongoing.get(where.clip_id)
            if known is None or not (known.parts or self.keeps_first_size):
                self.ongoing[where.clip_id] = Ongoing(
                    manifest=decode_manifest(body),
                    manifest_sha256=hashlib.sha256(body).hexdigest(),
                    custody_head=line_hash(opened.custody[-1]),
                    part_bytes=opened.part_bytes,
                    parts={},
                )
            return
        assert item.properties[CRC_PROPERTY] == f"{google_crc32c.value(item.payload):08x}"
        self.received.append((where.clip_id, where.part))
        if where.clip_id in self.ongoing:
            self.ongoing[where.clip_id].parts[where.part] = item.payload

    def _answer(self, device_id: str, clip_id: str) -> None:
        clip = self.ongoing.get(clip_id)
        if clip is None:
            return
        message = self._message(clip_id, clip)
        self._broker.publish(down_clip(device_id, clip_id), encode(message), qos=0)

    def _message(self, clip_id: str, clip: Ongoing) -> Need | Stored | Later | Never:
        wish, sha256 = self.answers.get(clip_id, ""), clip.manifest_sha256
        if wish == "later":
            del self.answers[clip_id]
            return Later(manifest_sha256=sha256, delay_s=5.0, why="busy")
        if wish == "never":
            refusal = Refusal(
                clip_id=clip_id,
                manifest_sha256=sha256,
                why="custody chain does not verify",
                refused_wall_ns=1,
                collector="tiny",
            )
            return Never(manifest_sha256=sha256, refusal=self._signer.sign(encode(refusal)))
        parts = part_count(clip.manifest.total_bytes, clip.part_bytes)
        if len(clip.parts) < parts:
            contiguous = next(n for n in range(parts + 1) if n not in clip.parts)
            return Need(
                manifest_sha256=sha256,
                contiguous=contiguous,
                have=pack_have(set(clip.parts), contiguous),
                window_bytes=self._window_bytes,
                part_bytes=clip.part_bytes,
            )
        self.stored[clip_id] = b"".join(clip.parts[number] for number in range(parts))
        receipt = Receipt(
            clip_id=clip_id[:-4] + "9999" if wish == "other clip" else clip_id,
            manifest_sha256=sha256,
            custody_head="0" * 64 if wish == "other head" else clip.custody_head,
            stored_wall_ns=1,
            collector="tiny",
        )
        signer = self._stranger if wish == "bad receipt" else self._signer
        return Stored(manifest_sha256=sha256, receipt=signer.sign(encode(receipt)))
