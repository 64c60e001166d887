"""What a camera says about itself: the retained status, and events."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agent.wire.codec import Message
from agent.wire.custody import ClockTrust

SessionState = Literal["standby", "recording", "post_roll", "closing", "down"]
EventKind = Literal[
    "session_started",
    "session_stopped",
    "mark",
    "gap",
    "fault",
    "recovered",
    "clip_closed",
    "thinned",
    "order",
    "card",
]
Text = Annotated[str, msgspec.Meta(max_length=500)]


UpdateState = Literal[
    "current",
    "downloading",
    "installed",
    "waiting",
    "gating",
    "shadow",
    "active",
    "refused",
    "rolled_back",
    "failed",
]


class ModelProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far this camera is with push number `push`. "refused", "rolled_back": not tried again
    until pushed anew; "failed": tried again later; "waiting": for standby. `why`: one line."""

    state: UpdateState
    push: int = 0
    name: Annotated[str, msgspec.Meta(max_length=40)] = ""
    version: int = 0
    percent: int = 0
    why: Text = ""


class DeviceStatus(Message, frozen=True, kw_only=True):
    """Retained on `up/%d/status`; the last will is the same with `online` false. `keys_order`: the
    newest order about keys that the recorder obeys, 0 while those of the provisioning hold.
    `active_model`: name and version in the active slot. `update`: the newest push for this camera.
    `waiting`: why clips are not sent now ("waiting: link wwan0 metered"); "" when they are."""

    device_id: str
    online: bool
    agent_version: str
    session_state: SessionState = "down"
    session_id: str | None = None
    model: str | None = None
    accelerator: str | None = None
    coverage_lately: float | None = None
    free_bytes: int | None = None
    card_minutes_left: int | None = None
    battery_percent: int | None = None
    outbox_clips: int = 0
    outbox_bytes: int = 0
    waiting: Text = ""
    sent_clips: int = 0
    rejected_clips: int = 0
    clock_trust: ClockTrust = "untrusted"
    keys_order: int = 0
    hardware: Text = ""
    groups: tuple[Text, ...] = ()
    active_model: Text = ""
    update: ModelProgress | None = None
    faults: tuple[Text, ...] = ()
    wall_ns: int = 0


class DeviceEvent(Message, frozen=True, kw_only=True):
    """One thing that happened, on `up/%d/event`. No label, mark text or place: those are sealed."""

    kind: EventKind
    device_id: str
    session_id: str | None = None
    clip_id: str | None = None
    text: Text = ""
    custody_head: str | None = None
    mono_ns: int = 0
    wall_ns: int = 0
