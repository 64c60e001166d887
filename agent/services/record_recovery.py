"""The record of a session that was cut off: what is still known of it."""

from __future__ import annotations

import msgspec

from agent.errors import SpoolError
from agent.services.vault import SessionStub, Vault
from agent.storage.spool import Shelf
from agent.wire.ids import parse_clip_id
from agent.wire.label_sheet import ClockReading, Gap, SessionRecord

POWER_CUT = "the recorder was cut off"
_SHELVES: tuple[Shelf, ...] = ("recording", "outbox", "sent", "rejected")


def recover_record(vault: Vault, session_id: str, content: bytes, *, os_boot: str = "") -> None:
    """Write the record of a session that was cut off, from its stub `content`, unless it is on a
    shelf already. `os_boot`: this boot of the machine."""
    record_id = f"{session_id}-record"
    shelves: tuple[Shelf, ...] = ("outbox", "sent", "rejected", "trash")
    if any(vault.spool.path(shelf, record_id).exists() for shelf in shelves):
        vault.state.drop_session(session_id)
        return
    clips, end_pts_ns = clips_of_session(vault, session_id)
    try:
        stub = msgspec.json.decode(content, type=SessionStub)
    except (msgspec.DecodeError, UnicodeDecodeError):
        when = vault.signing_time()
        stub = SessionStub(
            session_id=session_id,
            start_pts_ns=0,
            boot_counter=when.boot_counter,
            mono_ns=when.mono_ns,
            wall_ns=when.wall_ns,
            clock_trust="untrusted",
        )
    clock = ClockReading(
        boot_counter=stub.boot_counter,
        mono_ns=stub.mono_ns,
        wall_ns=stub.wall_ns,
        trust=stub.clock_trust,
    )
    end = max(end_pts_ns, stub.start_pts_ns)
    vault.put_record(
        SessionRecord(
            session_id=session_id,
            device_id=vault.device_id,
            agent_version=vault.agent_version,
            start_pts_ns=stub.start_pts_ns,
            stop_pts_ns=None,
            ended="recovered",
            clips=clips,
            gaps=(Gap(start_pts_ns=end, end_pts_ns=end, cause=POWER_CUT),),
            clock=clock,
            clocks=(stub.clocks or (clock,)) + _reading_now(vault, stub, os_boot),
        )
    )


def _reading_now(vault: Vault, stub: SessionStub, os_boot: str) -> tuple[ClockReading, ...]:
    """The clock as it is now, when the machine did not boot since the session: CLOCK_BOOTTIME then
    went on, so what is known now holds for the session as well."""
    if not os_boot or stub.os_boot != os_boot:
        return ()
    when = vault.signing_time()
    return (
        ClockReading(
            boot_counter=stub.boot_counter,
            mono_ns=when.mono_ns,
            wall_ns=when.wall_ns,
            trust=when.clock_trust,
        ),
    )


def clips_of_session(vault: Vault, session_id: str) -> tuple[tuple[str, ...], int]:
    """The clips of a session that are still on a shelf, in order, and where the last one ends."""
    found: dict[str, int] = {}
    for shelf in _SHELVES:
        for clip_id in vault.spool.clips(shelf):
            name = parse_clip_id(clip_id)
            if name.session_id == session_id and name.clip is not None:
                try:
                    found[clip_id] = vault.spool.manifest(shelf, clip_id)[0].end_pts_ns
                except SpoolError:
                    found[clip_id] = 0
    return tuple(sorted(found)), max(found.values(), default=0)
