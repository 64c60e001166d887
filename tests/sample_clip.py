"""Makes real sealed clips: real keys, a real custody chain, age files, manifest, sheet.

device = SampleDevice("cam01", collector_recipient)
clip = device.clip()                  # the next clip of the session
clip.write(spool / clip.clip_id)      # as it lies in the outbox
clip.opened(part_bytes)               # the Open message
clip.parts(part_bytes)                # the payloads, in order
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.custody import ChainHead, ClipChain, CustodyChain, SigningTime
from agent.crypto.jws import Signer
from agent.crypto.seal import Sealer
from agent.wire.codec import encode
from agent.wire.custody import line_hash
from agent.wire.ids import ClipName
from agent.wire.label_sheet import (
    ClockReading,
    Coverage,
    DeclaredLabel,
    FragmentLabels,
    Gap,
    LabelSheet,
    Mark,
    PreRoll,
    Scores,
    SessionRecord,
    Tag,
    Video,
)
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    fragment_file,
    fragment_labels_file,
)
from agent.wire.transfer import Open

SECOND_NS = 1_000_000_000
FRAMES_PER_FRAGMENT = 30
EPOCH = "00112233aabbccdd"
START_PTS_NS = 500 * SECOND_NS
WALL_NS = 1_700_000_000 * SECOND_NS


class SampleClip(msgspec.Struct, frozen=True, kw_only=True):
    """One closed clip in memory. `plain` is what the collector's clip.mp4 must be (None for a
    session record), `sheet` the bytes of labels.json or session.json (None: recovered)."""

    manifest: Manifest
    custody: tuple[str, ...]
    files: dict[str, bytes]
    plain: bytes | None
    sheet: bytes | None

    @property
    def clip_id(self) -> str:
        return self.manifest.clip_id

    @property
    def device_id(self) -> str:
        return self.manifest.device_id

    @property
    def manifest_body(self) -> bytes:
        return encode(self.manifest)

    @property
    def manifest_sha256(self) -> str:
        return hashlib.sha256(self.manifest_body).hexdigest()

    @property
    def sealed(self) -> bytes:
        return b"".join(self.files[entry.name] for entry in self.manifest.files)

    def opened(self, part_bytes: int) -> Open:
        return Open(
            manifest=self.manifest_body.decode(), custody=self.custody, part_bytes=part_bytes
        )

    def parts(self, part_bytes: int) -> list[bytes]:
        sealed = self.sealed
        return [sealed[at : at + part_bytes] for at in range(0, len(sealed), part_bytes)]

    def write(self, folder: Path) -> None:
        """As the recorder leaves it in the outbox."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        (folder / MANIFEST_FILE).write_bytes(self.manifest_body)
        (folder / CUSTODY_FILE).write_text("".join(f"{line}\n" for line in self.custody), "ascii")


class SampleDevice:
    """A camera with keys of its own and one running custody chain. `seed` makes its bytes."""

    def __init__(
        self,
        device_id: str,
        recipient: pyrage.x25519.Recipient,
        *,
        key: Ed25519PrivateKey | None = None,
        seed: int = 1,
    ) -> None:
        self.device_id = device_id
        self.key = key or Ed25519PrivateKey.generate()
        self.signer = Signer(self.key)
        self.chain = CustodyChain(self.signer, ChainHead())
        self.sealer = Sealer([recipient])
        self._random = random.Random(seed)
        self.sheet_name: ClipName | None = None  # a lie about whose sheet it is
        self.plain_hash_of: Callable[[int], str] | None = None  # a lie about what was sealed
        self.clock = _clock()
        self._next_clip = 0
        self._mono_ns = START_PTS_NS

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def name(self, clip: int | None) -> ClipName:
        return ClipName(device_id=self.device_id, epoch=EPOCH, boot=1, session=1, clip=clip)

    def fragments(self, count: int, fragment_bytes: int) -> list[bytes]:
        """Incompressible bytes that stand for MP4 fragments."""
        return [self._random.randbytes(fragment_bytes) for _ in range(count)]

    def clip(
        self, *, count: int = 3, fragment_bytes: int = 30_000, video: Sequence[bytes] = ()
    ) -> SampleClip:
        """The next clip, with a label sheet. `video`: its fragments, if real ones are wanted."""
        name, pieces = self._next_name(), list(video) or self.fragments(count, fragment_bytes)
        chain = self._open(name.clip_id)
        lines = [self._signed(chain, "open")]
        files: dict[str, bytes] = {}
        start = START_PTS_NS + (name.clip or 0) * 30 * SECOND_NS
        for index, piece in enumerate(pieces):
            lines.append(self._fragment(chain, files, index, piece, start))
        body = encode(self.sheet(self.sheet_name or name, len(pieces), start))
        files = {SHEET_FILE: self.sealer.seal(body).content, **files}
        return self._closed(name, chain, lines, files, start, b"".join(pieces), body)

    def recovered_clip(self, *, count: int = 3, labels: bool = True) -> SampleClip:
        """The next clip as a recovery closes it: no sheet, labels beside the fragments, a gap."""
        name, pieces = self._next_name(), self.fragments(count, 20_000)
        chain = self._open(name.clip_id)
        lines = [self._signed(chain, "open")]
        files: dict[str, bytes] = {}
        start = START_PTS_NS + (name.clip or 0) * 30 * SECOND_NS
        for index, piece in enumerate(pieces):
            if labels:
                words = encode(self.fragment_labels(name, index, start))
                files[fragment_labels_file(index)] = self.sealer.seal(words).content
            lines.append(self._fragment(chain, files, index, piece, start))
        end = start + count * SECOND_NS
        lines.append(self._signed(chain, "recovered"))
        lines.append(
            self._signed(
                chain, "gap", start_pts_ns=end, end_pts_ns=end, cause="the recorder was cut off"
            )
        )
        return self._closed(name, chain, lines, files, start, b"".join(pieces), None)

    def record(
        self, *, clocks: tuple[ClockReading, ...] = (), thinned: Sequence[str] = ()
    ) -> SampleClip:
        """The session record. `thinned`: ids of clips that it says were given up."""
        name = self.name(None)
        chain = self._open(name.clip_id)
        lines = [self._signed(chain, "open")]
        for clip_id in thinned:
            words = {"manifest_sha256": "ab" * 32, "frames": 90, "cause": "card full"}
            span = {"start_pts_ns": START_PTS_NS, "end_pts_ns": START_PTS_NS + SECOND_NS}
            lines.append(self._signed(chain, "thinned", thinned=clip_id, **words, **span))
        record = SessionRecord(
            session_id=name.session_id,
            device_id=self.device_id,
            agent_version="0.1.0",
            start_pts_ns=START_PTS_NS,
            stop_pts_ns=START_PTS_NS + 3 * SECOND_NS,
            ended="stopped",
            clips=(self.name(0).clip_id,),
            gaps=(Gap(start_pts_ns=1, end_pts_ns=2, cause="lens cap"),),
            clock=self.clock,
            clocks=clocks,
        )
        body = encode(record)
        files = {SESSION_FILE: self.sealer.seal(body).content}
        return self._closed(name, chain, lines, files, START_PTS_NS, None, body)

    def sheet(self, name: ClipName, fragments: int, start: int) -> LabelSheet:
        return LabelSheet(
            clip_id=name.clip_id,
            session_id=name.session_id,
            device_id=self.device_id,
            agent_version="0.1.0",
            start_pts_ns=start,
            clock=self.clock,
            video=_video(fragments),
            pre_roll=PreRoll(asked_s=30.0, kept_s=29.0),
            tags=(Tag(label="muzzle", start_ns=0, end_ns=SECOND_NS, peak=0.9, mean=0.8),),
            declared=(DeclaredLabel(key="exercise", value="drill", source="control"),),
            marks=(Mark(offset_ns=SECOND_NS // 2, source="control"),),
            gaps=(Gap(start_pts_ns=start - 5, end_pts_ns=start, cause="camera stalled"),),
            coverage=Coverage(due=15, scored=14, share=14 / 15, lost={"queue full": 1}),
        )

    def fragment_labels(self, name: ClipName, index: int, start: int) -> FragmentLabels:
        at = start + index * SECOND_NS
        return FragmentLabels(
            clip_id=name.clip_id,
            index=index,
            start_pts_ns=at,
            end_pts_ns=at + SECOND_NS,
            scores=Scores(labels=("muzzle",), offsets_ns=(at, at + 5), values=((0.1,), (0.2,))),
            tags=(
                Tag(
                    label="muzzle",
                    start_ns=start - SECOND_NS,
                    end_ns=at + SECOND_NS,
                    peak=0.9,
                    mean=0.5,
                    continues=True,
                ),
            ),
            marks_pts_ns=(start + 7,),
            declared=(DeclaredLabel(key="exercise", value="drill", source="control"),),
            coverage=Coverage(due=15, scored=12, share=0.8, lost={"queue full": 3}),
            video=_video(1),
            clock=self.clock,
        )

    def _next_name(self) -> ClipName:
        self._next_clip += 1
        return self.name(self._next_clip - 1)

    def _open(self, clip_id: str) -> ClipChain:
        return self.chain.open_clip(clip_id, 1, self._mono_ns)

    def _signed(self, chain: ClipChain, kind: str, **fields: object) -> str:
        self._mono_ns += 1
        when = SigningTime(
            boot_counter=1, mono_ns=self._mono_ns, wall_ns=WALL_NS, clock_trust="trusted"
        )
        line = chain.sign(kind, when, **fields)  # type: ignore[arg-type]
        chain.accepted(line)
        if kind == "open":
            self.chain.opened(chain, 1)
        return line

    def _fragment(
        self, chain: ClipChain, files: dict[str, bytes], index: int, piece: bytes, start: int
    ) -> str:
        sealed = self.sealer.seal(piece)
        files[fragment_file(index)] = sealed.content
        return self._signed(
            chain,
            "fragment",
            index=index,
            ct_sha256=sealed.ct_sha256,
            ct_bytes=len(sealed.content),
            pt_sha256=self.plain_hash_of(index) if self.plain_hash_of else sealed.pt_sha256,
            start_pts_ns=start + index * SECOND_NS,
            end_pts_ns=start + (index + 1) * SECOND_NS,
            frames=FRAMES_PER_FRAGMENT,
        )

    def _closed(
        self,
        name: ClipName,
        chain: ClipChain,
        lines: list[str],
        files: dict[str, bytes],
        start: int,
        plain: bytes | None,
        sheet: bytes | None,
    ) -> SampleClip:
        entries = tuple(
            FileEntry(name=file, bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
            for file, body in files.items()
        )
        fragments = sum(entry.name[4:] == ".age" for entry in entries)
        manifest = Manifest(
            clip_id=name.clip_id,
            device_id=self.device_id,
            session_id=name.session_id,
            start_pts_ns=start,
            end_pts_ns=start + fragments * SECOND_NS,
            frames=fragments * FRAMES_PER_FRAGMENT,
            fragments=fragments,
            recovered=sheet is None,
            priority="record" if name.clip is None else "plain",
            files=entries,
        )
        close = self._signed(
            chain,
            "close",
            manifest_sha256=hashlib.sha256(encode(manifest)).hexdigest(),
            sheet_sha256=entries[0].sha256 if sheet is not None else None,
        )
        return SampleClip(
            manifest=manifest, custody=(*lines, close), files=files, plain=plain, sheet=sheet
        )


def head_of(clip: SampleClip) -> str:
    """The custody head that the clip's receipt must name."""
    return line_hash(clip.custody[-1])


def _clock() -> ClockReading:
    return ClockReading(boot_counter=1, mono_ns=START_PTS_NS, wall_ns=WALL_NS, trust="trusted")


def _video(fragments: int) -> Video:
    return Video(
        codec="h264",
        width=1280,
        height=720,
        frame_rate_hz=30.0,
        frames=fragments * FRAMES_PER_FRAGMENT,
        duration_ns=fragments * SECOND_NS,
        encoder="sample",
        source="sample",
    )
