"""Going on with a session that a failure of the recorder cut off.

A wearer who pressed start believes that the camera records until the stop press. So a recorder that
was killed and started again within the same boot of the machine begins a new session at once, which
names the one it resumes. After a power cut or a reboot it does not: nobody pressed anything since,
and the camera may be anywhere.
"""

from __future__ import annotations

import msgspec

from agent.services.record_recovery import clips_of_session
from agent.services.vault import SessionStub, Vault
from agent.storage.recorder_state import RecorderState

RESUME_WITHIN_NS = 600 * 1_000_000_000
RESTARTED = "the recorder failed and was started again"


class CutSession(msgspec.Struct, frozen=True):
    """`end_pts_ns`: where its last footage ends, in pts of this same boot of the machine."""

    session_id: str
    end_pts_ns: int


def session_under_way(state: RecorderState, os_boot: str) -> SessionStub | None:
    """The newest session on the card if it was being recorded when the recorder was cut off, in the
    boot `os_boot` of the machine. To be asked before recovery, which forgets it."""
    sessions = state.sessions()
    if not sessions:
        return None
    try:
        stub = msgspec.json.decode(sessions[max(sessions)], type=SessionStub)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    same_boot = bool(os_boot) and stub.os_boot == os_boot
    return stub if same_boot and not stub.over else None


def session_to_resume(vault: Vault, stub: SessionStub | None) -> CutSession | None:
    """To be asked after recovery: the session to go on with, unless it was cut off too long ago."""
    if stub is None:
        return None
    _clips, end_pts_ns = clips_of_session(vault, stub.session_id)
    end_pts_ns = max(end_pts_ns, stub.start_pts_ns)
    if vault.clock.boot_ns() - end_pts_ns > RESUME_WITHIN_NS:
        return None
    return CutSession(stub.session_id, end_pts_ns)
