"""The durable store of one clip's parts while its transfer is under way.

    incoming/<device_id>/<clip_id>.<12 hex of the manifest's hash>/
        open.json        the Open message that began the transfer: manifest, custody, part size
        sealed           the concatenation of the sealed files; parts lie at their offsets
        parts.bits       which parts are durable: one record for all collectors of a group
        <name>.built/    the clip being made ready (see `building`), by the collector of that name

Any part may come to any collector of a group, in any order and twice. So the record is read,
changed and written under a lock, and whoever changed it last knows all of it. The lock of `sealed`
is the claim to make the clip ready. A transfer ends with its record's name: what still has it open
learns so by GoneError.

`sealed` grows as a sparse file: a preallocated one costs a journal commit with every sync (measured
on ext4: 195 instead of 335 MB/s with a sync per MiB). A bit is written after the sync of its part
came back, so after any crash a set bit means bytes on disk; a bit that was lost costs a resend.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

from agent.errors import WireError
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.transfer import MAX_PARTS, Open
from collector.errors import GoneError, StoreError
from collector.locking import locked, try_lock, unlock

OPEN_FILE = "open.json"
SEALED_FILE = "sealed"
MAX_OPEN_BYTES = 2 * 1024 * 1024
BITS_FILE = "parts.bits"
_CRC_BYTES = 4
_LENGTH_BYTES = 4
_READ_TRIES = 3


class _Descriptor:
    """An open file that closes when its last user is gone: a worker may still be syncing it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self.number)


class Assembly:
    """Parts of one clip on disk. `write` and `read` may run while another thread is in `sync`."""

    def __init__(self, folder: Path, opened: Open, name: str) -> None:
        self.folder = folder
        self.opened = opened
        self._sealed = _Descriptor(folder / SEALED_FILE)
        self._bits = _Descriptor(folder / BITS_FILE)
        # flock is between open files: the threads of this process need a lock of their own.
        self._recording = threading.Lock()
        self._settled = False
        self.built_folder = folder / f"{name}.built"

    @classmethod
    def create(cls, folder: Path, opened: Open, name: str) -> Assembly:
        """Begin a transfer in `folder`. Nothing is promised until the first `sync`."""
        with _store_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The name appears with its content: a crash leaves a folder that `load` refuses.
            temporary = folder / f".{OPEN_FILE}.tmp"
            temporary.write_bytes(encode(opened))
            temporary.rename(folder / OPEN_FILE)
            return cls(folder, opened, name)

    @classmethod
    def load(cls, folder: Path, name: str) -> Assembly:
        """The transfer that a crash or a restart interrupted. Raises StoreError: nothing usable."""
        with _store_errors(folder):
            try:
                body = (folder / OPEN_FILE).read_bytes()
                opened = decode(Open, body, max_bytes=MAX_OPEN_BYTES)
                assembly = cls(folder, opened, name)
                # It goes first when a transfer is ended: while it is there, we opened what counts.
                (folder / OPEN_FILE).stat()
            except (FileNotFoundError, WireError) as exc:
                raise StoreError(f"{folder} holds no transfer ({exc})") from exc
            return assembly

    def durable_parts(self) -> set[int]:
        """The parts that any collector of this store made durable. Raises GoneError, StoreError."""
        with _store_errors(self.folder):
            self._refuse_gone()
            for _ in range(_READ_TRIES):
                bits = _read_bits(self._bits.number)
                if bits is not None:  # None: torn, or another collector is writing it this moment
                    return _parts_of(bits)
            return set()

    def claim(self) -> bool:
        """True for one collector at a time: it is the one to make the clip ready. Held until
        `release`, or the end of this process."""
        with _store_errors(self.folder):
            return try_lock(self._sealed.number)

    def release(self) -> None:
        """Let another collector have the claim."""
        with _store_errors(self.folder):
            unlock(self._sealed.number)

    def write(self, offset: int, payload: bytes) -> None:
        """Put `payload` at `offset`. Raises StoreError (disk full, ...); durable after `sync`."""
        with _store_errors(self.folder):
            view = memoryview(payload)
            while view:
                count = os.pwrite(self._sealed.number, view, offset)
                view, offset = view[count:], offset + count

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`. Raises StoreError when the file is shorter."""
        with _store_errors(self.folder):
            content = os.pread(self._sealed.number, length, offset)
            while len(content) < length:
                more = os.pread(self._sealed.number, length - len(content), offset + len(content))
                if not more:
                    raise StoreError(f"{self.folder / SEALED_FILE} is cut short")
                content += more
            return content

    def sync(self) -> None:
        """All that was written before the call is durable on return, with the names it needs."""
        with _store_errors(self.folder):
            os.fdatasync(self._sealed.number)
            if not self._settled:
                descriptor = os.open(self.folder / OPEN_FILE, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                atomic.fsync_directory(self.folder)
                atomic.fsync_directory(self.folder.parent)
                atomic.fsync_directory(self.folder.parent.parent)
                self._settled = True

    def record(self, durable: Iterable[int] = (), *, lost: Iterable[int] = ()) -> Record:
        """Add the parts that a `sync` made `durable` to the record, and take out the `lost` ones.
        Returns all of it: also what other collectors recorded. Raises GoneError, StoreError."""
        added, taken = _mask(durable), _mask(lost)
        number = self._bits.number
        with _store_errors(self.folder), self._recording, locked(number, self.folder / BITS_FILE):
            self._refuse_gone()
            bits = ((_read_bits(number) or 0) | added) & ~taken
            # One small write in place: torn by a crash, its checksum fails and no bit counts.
            os.pwrite(number, _packed(bits), 0)
            return Record(bits)

    def discard(self) -> None:
        """Remove the transfer from the disk (its clip is stored, or will never be)."""
        discard(self.folder)

    def _refuse_gone(self) -> None:
        if os.fstat(self._bits.number).st_nlink == 0:
            raise GoneError(f"{self.folder} was ended by another collector")


class Record:
    """Which parts of a clip are durable, as the group's record says."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def parts(self) -> set[int]:
        return _parts_of(self._bits)


def read_durable_parts(folder: Path) -> set[int]:
    """The parts that are durable in the transfer's `folder`, for a reader from outside; none while
    the record is being written. Raises OSError."""
    descriptor = os.open(folder / BITS_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _parts_of(_read_bits(descriptor) or 0)
    finally:
        os.close(descriptor)


def discard(folder: Path) -> None:
    """Remove a transfer's folder, `open.json` first: what is left over is never taken for one."""
    with _store_errors(folder):
        (folder / OPEN_FILE).unlink(missing_ok=True)
        (folder / BITS_FILE).unlink(missing_ok=True)
        # The disk may keep names in another order than they were removed in. Without this sync a
        # power cut could leave `open.json` and the bits without `sealed`: a transfer whose parts
        # all count as durable and are not there, which can never end.
        with contextlib.suppress(FileNotFoundError):
            atomic.fsync_directory(folder)
        shutil.rmtree(folder, ignore_errors=True)


class _store_errors(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a phrase
    """Turns what the disk refuses into a StoreError that names the place."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(
                f"{self._place}: {error.strerror or error}",
                remedy="free space or mend the disk; cameras keep their clips meanwhile",
            ) from error


def _mask(parts: Iterable[int]) -> int:
    mask = 0
    for part in parts:
        mask |= 1 << part
    return mask


def _parts_of(bits: int) -> set[int]:
    return {part for part, bit in enumerate(reversed(f"{bits:b}")) if bit == "1"}


def _packed(bits: int) -> bytes:
    body = bits.to_bytes(-(-bits.bit_length() // 8), "little")
    body = len(body).to_bytes(_LENGTH_BYTES, "big") + body
    return _checksum(body) + body


def _checksum(body: bytes) -> bytes:
    return int(google_crc32c.value(body)).to_bytes(_CRC_BYTES, "big")


def _read_bits(descriptor: int) -> int | None:
    """The recorded bits; 0 for a new record, None for one whose checksum fails."""
    content = os.pread(descriptor, MAX_PARTS // 8 + 64, 0)
    if not content:
        return 0
    body = content[_CRC_BYTES:]
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "big")
    if len(body) < end or _checksum(body[:end]) != content[:_CRC_BYTES]:
        return None
    return int.from_bytes(body[_LENGTH_BYTES:end], "little")
