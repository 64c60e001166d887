"""The uplink's view of the spool: what waits in the outbox, its bytes, and how a clip leaves it."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Collection
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.core.upload_order import Job, UploadQueue, Waiting, words_run_ahead
from agent.crypto.trust import Trust, read_answer
from agent.errors import CustodyError, SpoolError, WireError
from agent.storage import atomic
from agent.storage.spool import REASON_FILE, RECEIPT_FILE, Spool
from agent.wire.codec import decode, encode
from agent.wire.custody import line_hash
from agent.wire.manifest import CUSTODY_FILE, SHEET_FILE, Manifest
from agent.wire.transfer import Open, Receipt, Refusal

M = TypeVar("M", Receipt, Refusal)

_NS = 1_000_000_000
_LOOK_AGAIN_S = 600.0
_MANIFESTS_PER_SCAN = 50


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One clip as it lies in the outbox, bound by hashes to what a receipt must name."""

    clip_id: str
    manifest: Manifest
    manifest_sha256: str
    custody_head: str


class Outbox:
    """What waits to be sent. A clip that cannot be read is reported once, left where it is, looked
    at again after ten minutes, and holds nobody up."""

    def __init__(
        self,
        spool: Spool,
        trust: Callable[[], Trust],
        report: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._trust = trust
        self._report = report
        self._waiting = UploadQueue()
        self._set_aside: dict[str, int] = {}
        self._reported: set[str] = set()
        self._fresh: list[str] = []

    @property
    def clips(self) -> int:
        return len(self._waiting)

    @property
    def total_bytes(self) -> int:
        return self._waiting.total_bytes

    def scan(self, now_ns: int) -> bool:
        """Look what came and went; at most 50 new manifests are read. True when there is more."""
        if not self._fresh:
            self._list(now_ns)
        for _ in range(min(_MANIFESTS_PER_SCAN, len(self._fresh))):
            self._admit(self._fresh.pop(), now_ns)
        return bool(self._fresh)

    def holds(self, clip_id: str) -> bool:
        return clip_id in self._waiting

    def next(
        self, *, requested: Collection[str], taken: Collection[str], rate_bytes_per_s: float
    ) -> Job | None:
        """What to send next over a link of that rate (0: not known)."""
        words_first = words_run_ahead(self._waiting.total_bytes, rate_bytes_per_s)
        return self._waiting.next(requested=requested, taken=taken, words_first=words_first)

    def words_arrived(self, clip_id: str) -> None:
        """The collector has the words of this clip."""
        self._waiting.words_arrived(clip_id)

    def set_aside(
        self, clip_id: str, why: str, now_ns: int, pause_s: float = _LOOK_AGAIN_S
    ) -> None:
        """Leave this clip alone for a while, and say why, once."""
        self._waiting.remove(clip_id)
        if not self._spool.path("outbox", clip_id).is_dir():
            return  # the recorder gave it up for room, and says so itself
        self._set_aside[clip_id] = now_ns + int(pause_s * _NS)
        if clip_id not in self._reported:
            self._reported.add(clip_id)
            self._report(why)

    def load(self, clip_id: str) -> Clip:
        """Raises SpoolError: manifest or custody chain missing or damaged."""
        manifest, body = self._spool.manifest("outbox", clip_id)
        if manifest.clip_id != clip_id:
            raise SpoolError(f"clip {clip_id}: its manifest is of {manifest.clip_id}")
        return Clip(
            clip_id=clip_id,
            manifest=manifest,
            manifest_sha256=hashlib.sha256(body).hexdigest(),
            custody_head=line_hash(self._custody(clip_id)[-1]),
        )

    def open_message(self, clip_id: str, part_bytes: int) -> bytes:
        """The Open message. Raises SpoolError: manifest or custody chain missing or damaged."""
        _manifest, body = self._spool.manifest("outbox", clip_id)
        message = Open(
            manifest=body.decode("utf-8"),
            custody=tuple(self._custody(clip_id)),
            part_bytes=part_bytes,
        )
        return encode(message)

    def parts_of(self, clip: Clip) -> PartReader:
        folder = self._spool.path("outbox", clip.clip_id)
        return PartReader([(folder / entry.name, entry.bytes) for entry in clip.manifest.files])

    def keep_receipt(self, clip: Clip, token: str) -> None:
        """The clip is stored: put the receipt beside it, durably, and move it to `sent`.

        Raises CustodyError when the receipt does not prove exactly this, SpoolError when the card
        refuses; the clip then stays in the outbox.
        """
        receipt = self._signed(Receipt, token)
        if receipt.clip_id != clip.clip_id or receipt.manifest_sha256 != clip.manifest_sha256:
            raise CustodyError(f"receipt is for {receipt.clip_id}, another clip or manifest")
        if receipt.custody_head != clip.custody_head:
            raise CustodyError(f"receipt for {clip.clip_id} names another end of the custody chain")
        self._leave(clip.clip_id, RECEIPT_FILE, token.encode("ascii"), to_sent=True)

    def keep_refusal(self, clip: Clip, token: str) -> str:
        """The collector will never take the clip: move it to `rejected`; the reason is returned.

        Raises CustodyError when the refusal is not signed for this clip, SpoolError as above.
        """
        refusal = self._signed(Refusal, token)
        if refusal.clip_id != clip.clip_id or refusal.manifest_sha256 != clip.manifest_sha256:
            raise CustodyError(f"refusal is for {refusal.clip_id}, another clip or manifest")
        reason = msgspec.json.encode({"refusal": refusal, "signed": token})
        self._leave(clip.clip_id, REASON_FILE, reason, to_sent=False)
        return refusal.why

    def _list(self, now_ns: int) -> None:
        """Forget what went; what came is `_fresh`, the oldest last."""
        present = self._spool.clips("outbox")
        here = set(present)
        for clip_id in self._waiting.ids() - here:
            self._waiting.remove(clip_id)
        self._set_aside = {
            name: until
            for name, until in self._set_aside.items()
            if name in here and until > now_ns
        }
        known = self._waiting.ids().union(self._set_aside)
        self._fresh = [name for name in reversed(present) if name not in known]

    def _admit(self, clip_id: str, now_ns: int) -> None:
        """Its manifest alone is read: what else may be wrong shows when its turn comes."""
        try:
            if self._finish_interrupted(clip_id):
                return
            manifest, _body = self._spool.manifest("outbox", clip_id)
        except SpoolError as exc:
            if self._spool.path("outbox", clip_id).is_dir():
                self.set_aside(clip_id, f"clip {clip_id} cannot be sent: {exc}", now_ns)
            return
        first = manifest.files[0]
        self._waiting.add(
            Waiting(
                clip_id=clip_id,
                priority=manifest.priority,
                total_bytes=manifest.total_bytes,
                words_bytes=first.bytes if first.name == SHEET_FILE else 0,
            )
        )

    def _finish_interrupted(self, clip_id: str) -> bool:
        """A cut between receipt and move left both in the outbox: finish it."""
        path = self._spool.path("outbox", clip_id) / RECEIPT_FILE
        try:
            token = path.read_bytes()[: 16 * 1024].decode("ascii")
            self.keep_receipt(self.load(clip_id), token)
        except (OSError, UnicodeDecodeError, CustodyError):
            return False
        return True

    def _custody(self, clip_id: str) -> list[str]:
        path = self._spool.path("outbox", clip_id) / CUSTODY_FILE
        try:
            lines = [line.decode("ascii") for line in atomic.read_lines(path)]
        except UnicodeDecodeError as exc:
            raise SpoolError(f"{path} is damaged (not ASCII)") from exc
        except OSError as exc:
            raise SpoolError(f"{path} cannot be read ({exc.strerror})") from exc
        if not lines:
            raise SpoolError(f"{path} is missing or empty")
        return lines

    def _signed(self, kind: type[M], token: str) -> M:
        answer = read_answer(token, self._trust())
        try:
            message: M = decode(kind, answer.payload)
        except WireError as exc:
            raise CustodyError(f"signed answer: {exc}") from exc
        made = message.stored_wall_ns if isinstance(message, Receipt) else message.refused_wall_ns
        if answer.until_wall_ns is not None and made >= answer.until_wall_ns:
            raise CustodyError("signed answer: by a key that was rotated out before")
        return message

    def _leave(self, clip_id: str, name: str, content: bytes, *, to_sent: bool) -> None:
        path = self._spool.path("outbox", clip_id) / name
        try:
            atomic.write_file(path, content)
        except FileNotFoundError:
            self._waiting.remove(clip_id)
            return  # another process moved the clip first
        except OSError as exc:
            raise SpoolError(f"{path} cannot be written ({exc.strerror})") from exc
        self._spool.move(clip_id, "outbox", "sent" if to_sent else "rejected")
        self._waiting.remove(clip_id)


class PartReader:
    """Bytes of the concatenation of a clip's files, by offset; one file open at a time."""

    def __init__(self, files: list[tuple[Path, int]]) -> None:
        self._files = files
        self._ends = list(accumulate(size for _path, size in files))
        self._open: tuple[int, int] | None = None

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Raises SpoolError when a file is missing or shorter than the manifest says."""
        pieces = []
        while size_bytes > 0:
            index = bisect_right(self._ends, offset_bytes)
            if index >= len(self._files):
                raise SpoolError("part lies beyond the clip")
            within = offset_bytes - (self._ends[index] - self._files[index][1])
            take = min(size_bytes, self._ends[index] - offset_bytes)
            pieces.append(self._piece(index, within, take))
            offset_bytes += take
            size_bytes -= take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _piece(self, index: int, within: int, take: int) -> bytes:
        path = self._files[index][0]
        try:
            if self._open is None or self._open[0] != index:
                self.close()
                self._open = (index, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            piece = os.pread(self._open[1], take, within)
        except OSError as exc:
            raise SpoolError(f"{path} cannot be read ({exc.strerror})") from exc
        if len(piece) != take:
            raise SpoolError(f"{path} is shorter than its manifest says")
        return piece
