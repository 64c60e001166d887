"""What to answer to an Open: go on, begin, have it, later, or never."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from agent.wire.codec import decode
from agent.wire.manifest import Manifest
from agent.wire.transfer import Later, Never, Open, Stored
from collector.assembly import MAX_OPEN_BYTES, Assembly, discard
from collector.building import ClipBuilder
from collector.catalogue import Catalogue
from collector.config import Transfer as TransferLimits
from collector.errors import NotYetError, RefusedError, StoreError
from collector.ongoing import Ongoing, OngoingClips
from collector.parking import Parking, last_change_ns
from collector.refusing import Refuser
from collector.report import Report
from collector.store import Store
from collector.transfers import Transfer, agreed_part_bytes
from collector.unsealing import Unsealer
from collector.verification import KeysOf, VerifiedOpen, check_open, manifest_hash

STORE_DELAY_S = 30.0
BUSY_DELAY_S = 5.0
SPACE_DELAY_S = 60.0
_MAX_WHY = 500

Verdict = Ongoing | Stored | Later | Never


class Admission:
    """Decides about clips; used from the main thread. `name` is this collector's."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        catalogue: Catalogue,
        clips: OngoingClips,
        keys_of: KeysOf,
        unsealer: Unsealer,
        refuser: Refuser,
        limits: TransferLimits,
        min_free_bytes: int,
        report: Report,
    ) -> None:
        self._name = name
        self._store = store
        self._catalogue = catalogue
        self._clips = clips
        self._keys_of = keys_of
        self._unsealer = unsealer
        self._refuser = refuser
        self._limits = limits
        self._min_free_bytes = min_free_bytes
        self._report = report
        self._parking = Parking(store, clips, limits, self._is_idle)

    def admit(self, device_id: str, clip_id: str, payload: bytes, now_s: float) -> Verdict:
        """The answer to the Open in `payload`. Raises WireError when it cannot be read at all."""
        opened = decode(Open, payload, max_bytes=MAX_OPEN_BYTES)
        sha256 = manifest_hash(opened)
        ongoing = self._clips.get(device_id, clip_id)
        try:
            if (
                ongoing is not None
                and ongoing.verified.manifest_sha256 == sha256
                and not self._may_recut(ongoing, opened)
            ):
                if not self._clips.is_shared or ongoing.catch_up():
                    return ongoing
                self._clips.drop(ongoing)
            return self._settled_before(clip_id, sha256, opened) or self._begin(
                device_id, clip_id, opened, now_s
            )
        except RefusedError as error:
            return self._refuser.refuse(device_id, clip_id, opened, error)
        except NotYetError as error:
            return self._later(clip_id, sha256, str(error), error.delay_s)
        except StoreError as error:
            return self._later(clip_id, sha256, str(error), STORE_DELAY_S)

    def resume(self, now_s: float) -> list[Ongoing]:
        """The newest transfers of each camera on the disk, one a clip; tidies up what is done. The
        others are parked."""
        found: dict[tuple[str, str], Ongoing] = {}
        for folder in self._parking.to_resume():
            try:
                ongoing = self._resumed(folder, now_s)
            except (StoreError, NotYetError, RefusedError) as error:
                self._report.line(f"transfer in {folder} waits: {error}")
                continue
            if ongoing is not None:
                found[ongoing.key] = ongoing
        return list(found.values())

    def opened_elsewhere(self, device_id: str, clip_id: str, now_s: float) -> Ongoing | None:
        """The transfer that another collector of the group opened for this clip, if any."""
        folders = [p for p in self._store.transfers(device_id) if p.name.startswith(f"{clip_id}.")]
        for folder in sorted(folders, key=last_change_ns, reverse=True):
            self._parking.make_room_in_memory(device_id)
            with contextlib.suppress(StoreError, NotYetError, RefusedError):
                return self._resumed(folder, now_s)
        return None

    def _settled_before(self, clip_id: str, sha256: str, opened: Open) -> Stored | Never | None:
        receipt = self._catalogue.receipt(clip_id, sha256)
        if receipt is not None:
            return Stored(manifest_sha256=sha256, receipt=receipt)
        return self._refuser.refused_before(opened)

    def _begin(self, device_id: str, clip_id: str, opened: Open, now_s: float) -> Ongoing:
        verified = check_open(device_id, clip_id, opened, self._keys_of)
        folder = self._store.incoming_folder(device_id, clip_id, verified.manifest_sha256)
        with self._store.opening():
            assembly = self._opened_folder(folder, opened, verified, now_s)
        return self._ongoing(verified, assembly, now_s)

    def _opened_folder(
        self, folder: Path, opened: Open, verified: VerifiedOpen, now_s: float
    ) -> Assembly:
        try:
            # Begun before: the newer custody lines count; the size in force stays, unless no
            # part came in it: a camera asks for smaller ones when none gets through.
            begun = Assembly.load(folder, self._name)
            recut = not self._clips.is_shared and not begun.durable_parts()
            part_bytes = self._size(opened) if recut else begun.opened.part_bytes
        except StoreError:
            part_bytes = self._size(opened)
            self._check_room(verified.manifest, part_bytes, now_s)
        self._parking.make_room_in_memory(verified.manifest.device_id)
        opened = msgspec.structs.replace(opened, part_bytes=part_bytes)
        return Assembly.create(folder, opened, self._name)

    def _may_recut(self, ongoing: Ongoing, opened: Open) -> bool:
        """Another part size is asked for, and nobody has anything in the one in force."""
        other = self._size(opened) != ongoing.part_bytes
        return other and ongoing.transfer.is_untouched and not self._clips.is_shared

    def _size(self, opened: Open) -> int:
        limits = self._limits
        return agreed_part_bytes(opened.part_bytes, limits.part_bytes_min, limits.part_bytes_max)

    def _resumed(self, folder: Path, now_s: float) -> Ongoing | None:
        with self._store.opening():
            try:
                assembly = Assembly.load(folder, self._name)
            except StoreError:
                discard(folder)  # a crash before it was worth anything
                return None
        device_id, clip_id = folder.parent.name, folder.name.rsplit(".", 1)[0]
        sha256 = manifest_hash(assembly.opened)
        if self._catalogue.receipt(clip_id, sha256) is not None:
            assembly.discard()
            return None
        verified = check_open(device_id, clip_id, assembly.opened, self._keys_of)
        return self._ongoing(verified, assembly, now_s)

    def _ongoing(self, verified: VerifiedOpen, assembly: Assembly, now_s: float) -> Ongoing:
        transfer = Transfer(
            verified.manifest.total_bytes, assembly.opened.part_bytes, assembly.durable_parts()
        )
        builder = ClipBuilder(assembly, verified, self._unsealer)
        return Ongoing(verified, assembly, transfer, builder, now_s)

    def _check_room(self, manifest: Manifest, part_bytes: int, now_s: float) -> None:
        """Room on the disk for the parts and the clip, in the window budget, and among the
        transfers of this device."""
        device_id = manifest.device_id
        free = self._store.free_bytes()
        if free - 2 * manifest.total_bytes < self._min_free_bytes:
            raise NotYetError(
                f"the collector's disk has only {free} bytes free",
                delay_s=SPACE_DELAY_S,
                remedy="free space on it",
            )
        if self._clips.window_bytes(device_id, part_bytes, now_s) is None:
            raise NotYetError("too many cameras send at once", delay_s=BUSY_DELAY_S)
        self._parking.make_room_on_disk(device_id)

    def _is_idle(self, folder: Path) -> bool:
        """No other collector is making the clip in `folder` ready."""
        try:
            return Assembly.load(folder, self._name).claim()
        except StoreError:
            return True

    def _later(self, clip_id: str, sha256: str, why: str, delay_s: float) -> Later:
        self._report.complain(f"later {clip_id}", f"later: {clip_id}: {why}")
        return Later(manifest_sha256=sha256, delay_s=delay_s, why=why[:_MAX_WHY])
