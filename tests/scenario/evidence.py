"""What a camera's card and a collector's store hold, read without the programs that wrote it."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import subprocess
from itertools import pairwise
from pathlib import Path

import msgspec

from agent.crypto import jws
from agent.crypto.keys import load_public_key, thumbprint
from agent.wire.codec import decode
from agent.wire.custody import CustodyLine, line_hash
from agent.wire.label_sheet import MAX_SHEET_BYTES, LabelSheet, SessionRecord
from agent.wire.manifest import Manifest, decode_manifest
from agent.wire.transfer import Receipt
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from tests.h264 import mp4_frames

# The MP4 counts in 1/90000 s; two rounded times differ by two ticks at most.
TICKS_NS = 2 * 1_000_000_000 // 90_000 + 1


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One stored clip. `custody` are the lines as text, `lines` what they say."""

    folder: Path
    manifest: Manifest
    sheet: LabelSheet
    custody: tuple[str, ...]
    lines: tuple[CustodyLine, ...]

    @property
    def clip_id(self) -> str:
        return self.manifest.clip_id

    @property
    def mp4(self) -> Path:
        return self.folder / "clip.mp4"

    @property
    def fragments(self) -> list[CustodyLine]:
        return [line for line in self.lines if line.kind == "fragment"]


def stored_clips(stack: LocalStack) -> list[Clip]:
    """All stored clips of footage, in the order of their ids."""
    folders = sorted((stack.store_dir / "store" / DEVICE_ID).glob("*/*/labels.json"))
    return [_clip(path.parent, stack) for path in folders]


def stored_records(stack: LocalStack) -> list[SessionRecord]:
    """All stored session records, in the order of their ids."""
    files = sorted((stack.store_dir / "store" / DEVICE_ID).glob("*/*-record/session.json"))
    return [decode(SessionRecord, file.read_bytes(), max_bytes=MAX_SHEET_BYTES) for file in files]


def shelf(stack: LocalStack, name: str) -> list[str]:
    """Names on a shelf of the camera's spool."""
    folder = stack.state_dir / "spool" / name
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def durable_fragments(stack: LocalStack) -> set[str]:
    """`ct_sha256` of every fragment on the card whose custody line and file are both there.

    The shelves are read in the order in which clips move, so that none slips through."""
    found = set()
    for name in ("recording", "outbox", "sent"):
        for custody in sorted((stack.state_dir / "spool" / name).glob("*/custody.jsonl")):
            for text in custody.read_text("ascii").splitlines(keepends=True):
                if not text.endswith("\n"):
                    continue  # torn: it was never durable
                line = _payload(text.strip(), stack)
                if line.kind == "fragment" and (custody.parent / f"{line.index:04d}.age").exists():
                    found.add(str(line.ct_sha256))
    return found


def assert_arrived_once(stack: LocalStack, durable: set[str]) -> None:
    """Every fragment of `durable` is in the store; nothing is there, or in the catalogue, twice;
    no second was recorded twice."""
    clips = stored_clips(stack)
    arrived = [str(line.ct_sha256) for clip in clips for line in clip.fragments]
    assert durable <= set(arrived)
    assert len(arrived) == len(set(arrived))
    in_time = sorted(clips, key=lambda clip: clip.manifest.start_pts_ns)
    for before, after in pairwise(in_time):
        assert before.manifest.end_pts_ns <= after.manifest.start_pts_ns
    rows = catalogue(stack, "SELECT clip_id FROM clips ORDER BY clip_id")
    stored = sorted(
        path.parent.name for path in (stack.store_dir / "store").glob("*/*/*/receipt.json")
    )
    assert [row["clip_id"] for row in rows] == stored == shelf(stack, "sent")


def assert_frames_continuous(clips: list[Clip], period_ns: int) -> None:
    """From the first clip's first frame to the last clip's last: one frame a period, none missing,
    none doubled, and sheet, manifest, custody and MP4 count alike. `clips` are of one session."""
    for clip in clips:
        frames = mp4_frames(clip.mp4.read_bytes())
        assert len(frames) == clip.sheet.video.frames == clip.manifest.frames
        assert len(frames) == sum(line.frames or 0 for line in clip.fragments)
        starts = [round(start_s * 1e9) for start_s, _ in frames]
        assert starts[0] == 0
        for number, start_ns in enumerate(starts):
            assert abs(start_ns - number * period_ns) <= TICKS_NS + number  # the period is rounded
        for before, after in pairwise(clip.fragments):
            assert before.end_pts_ns == after.start_pts_ns
    for earlier, later in pairwise(clips):
        assert earlier.manifest.end_pts_ns == later.manifest.start_pts_ns


def ffprobe(file: Path) -> tuple[int, float, str]:
    """Frames really decoded, duration in seconds, and everything that ffprobe complained of."""
    command = ("ffprobe", "-v", "warning", "-count_frames", "-select_streams", "v:0")
    words = "stream=nb_read_frames,duration:format=duration"
    ran = subprocess.run(
        [*command, "-show_entries", words, "-of", "json", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = json.loads(ran.stdout)
    stream = said["streams"][0]
    duration_s = float(stream.get("duration") or said["format"]["duration"])
    return int(stream["nb_read_frames"]), duration_s, ran.stderr


def age_decrypted(stack: LocalStack, clip_id: str) -> bytes:
    """What Debian's `age` makes of the clip's fragments in spool/sent, one after the other."""
    identity = stack.fleet.collector.age_identity_file
    folder = stack.state_dir / "spool" / "sent" / clip_id
    fragments = sorted(path for path in folder.glob("*.age") if path.stem.isdigit())
    return b"".join(
        subprocess.run(
            ["age", "-d", "-i", str(identity), str(fragment)],
            capture_output=True,
            timeout=30,
            check=True,
        ).stdout
        for fragment in fragments
    )


def verified_receipt(stack: LocalStack, clip_id: str) -> Receipt:
    """The receipt that lies on the card, its signature checked, bound to the card's own files."""
    folder = stack.state_dir / "spool" / "sent" / clip_id
    key = load_public_key(stack.fleet.device(DEVICE_ID).receipt_key_file, "receipt key")
    text = (folder / "receipt.jws").read_text("ascii").strip()
    payload = jws.verify(text, lambda kid: key if kid == thumbprint(key) else None)
    receipt = decode(Receipt, payload)
    manifest = (folder / "manifest.json").read_bytes()
    assert receipt.clip_id == clip_id
    assert receipt.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    last_line = (folder / "custody.jsonl").read_text("ascii").split()[-1]
    assert receipt.custody_head == line_hash(last_line)
    return receipt


def catalogue(stack: LocalStack, query: str) -> list[sqlite3.Row]:
    connection = sqlite3.connect(f"file:{stack.store_dir / 'catalogue.sqlite'}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def files_that_hold(folder: Path, needle: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def stack_traces(text: str) -> list[str]:
    return re.findall(r"Traceback|^\s+File \".*\", line \d+", text, flags=re.MULTILINE)


def assert_no_stack_trace(stack: LocalStack) -> None:
    for log in stack.logs_dir.iterdir():
        assert not stack_traces(log.read_text("utf-8", "replace")), log


def _clip(folder: Path, stack: LocalStack) -> Clip:
    custody = tuple((folder / "custody.jsonl").read_text("ascii").split())
    return Clip(
        folder=folder,
        manifest=decode_manifest((folder / "manifest.json").read_bytes()),
        sheet=decode(LabelSheet, (folder / "labels.json").read_bytes(), max_bytes=MAX_SHEET_BYTES),
        custody=custody,
        lines=tuple(_payload(text, stack) for text in custody),
    )


def _payload(line: str, stack: LocalStack) -> CustodyLine:
    device = stack.fleet.device(DEVICE_ID)
    public = stack.fleet.collector.devices_dir / DEVICE_ID / f"custody-{device.custody_kid}.pem"
    key = load_public_key(public, "custody key")
    return decode(CustodyLine, jws.verify(line, lambda _kid: key))
