"""What the services of one camera say to each other: msgpack, bounded, on ipc:// sockets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from agent.errors import WireError
from agent.wire.label_sheet import ModelProvenance
from agent.wire.telemetry import DeviceEvent, SessionState

MAX_IPC_BYTES = 1024 * 1024


class FrameHeader(msgspec.Struct, frozen=True, array_like=True):
    """First part of a `frames` message; the second is LORES_BYTES of I420, 640x360, planes packed.

    The picture really seen lies in the rectangle `active_*` (pixels); outside it is black padding.
    `seq` counts all frames that were due, so that a hole shows as a jump. `score`: the model is to
    see it. `look`: it is to be looked at for scenario cards and the lens's state.
    """

    seq: int
    pts_ns: int
    active_x: int
    active_y: int
    active_width: int
    active_height: int
    score: bool = True
    look: bool = False


class ModelReady(msgspec.Struct, frozen=True, tag="model"):
    """Sent when the tagger connects and when the model changes; scores that follow are by it.
    After a gap of more than `max_gap_ms` between frames the model begins anew."""

    provenance: ModelProvenance
    labels: tuple[str, ...]
    frame_rate_hz: float
    max_gap_ms: int = 0


class FrameScores(msgspec.Struct, frozen=True, tag="scores"):
    """One scored frame; `scores[j]` belongs to label j of the last ModelReady, in 0..1."""

    pts_ns: int
    scores: tuple[float, ...]


class SpanOpened(msgspec.Struct, frozen=True, tag="span_opened"):
    """A tag began at `start_pts_ns` (known only min_on_ms later)."""

    span_id: int
    label: str
    start_pts_ns: int


class SpanClosed(msgspec.Struct, frozen=True, tag="span_closed"):
    """A tag is complete: [start_pts_ns, end_pts_ns), peak and mean score over it."""

    span_id: int
    label: str
    start_pts_ns: int
    end_pts_ns: int
    peak: float
    mean: float


class SpanSoFar(msgspec.Struct, frozen=True, tag="span_so_far"):
    """An open tag as it stands: peak and mean up to the newest scored frame."""

    span_id: int
    label: str
    start_pts_ns: int
    peak: float
    mean: float


class Watermark(msgspec.Struct, frozen=True, tag="watermark"):
    """All that will be said about frames up to `scored_through_pts_ns` has been said."""

    scored_through_pts_ns: int


class TaggerFault(msgspec.Struct, frozen=True, tag="tagger_fault"):
    """No scores will come, or none of this frame; `text` is one line with the remedy."""

    text: str


class CodeSeen(msgspec.Struct, frozen=True, tag="code"):
    """A QR code in the frame at `pts_ns`. Whether it is a scenario card is the recorder's to say:
    it has the keys."""

    pts_ns: int
    text: Annotated[str, msgspec.Meta(max_length=512)]


class LensSeen(msgspec.Struct, frozen=True, tag="lens"):
    """How the frame at `pts_ns` looks; see agent.core.lens."""

    pts_ns: int
    spread: float
    sharpness: float


TaggerMessage = (
    ModelReady
    | FrameScores
    | SpanOpened
    | SpanClosed
    | SpanSoFar
    | Watermark
    | TaggerFault
    | CodeSeen
    | LensSeen
)

Declared = dict[
    Annotated[str, msgspec.Meta(min_length=1, max_length=40)],
    Annotated[str, msgspec.Meta(max_length=200)],
]


class StartRequest(msgspec.Struct, frozen=True, tag="start"):
    """The start press. `pts_ns`: CLOCK_BOOTTIME of the press."""

    pts_ns: int
    source: str = "control"
    declared: Declared = {}


class StopRequest(msgspec.Struct, frozen=True, tag="stop"):
    pts_ns: int
    source: str = "control"


class MarkRequest(msgspec.Struct, frozen=True, tag="mark"):
    pts_ns: int
    source: str = "control"


class StatusRequest(msgspec.Struct, frozen=True, tag="status"):
    pass


class LeaseRequest(msgspec.Struct, frozen=True, tag="lease"):
    """The tagger asks to change its model now. Refused outside standby. When a session begins, one
    more reply comes by itself, with `refused` set: the lease is taken back."""


class SendingNote(msgspec.Struct, frozen=True, tag="sending"):
    """The uplink sends clips now: for the wearer's light."""


ControlRequest = (
    StartRequest | StopRequest | MarkRequest | StatusRequest | LeaseRequest | SendingNote
)


class RecorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder's state as one snapshot. Byte and frame counts since its start.

    `card_minutes_left`: how long the card still takes footage at the present rate, clips that have
    a receipt counted as room. `battery_percent`, `on_mains`: None where nothing knows.
    `indication`: the state that the wearer's indicator shows, by its name in the table.
    `parts_at_fault`: which parts `faults` are of, for programs.

    For a person, and without what a card or plan declares: `card_shown`, the last scenario card or
    other QR code; `plan`, the session plan; `preflight`, whether the camera is fit to record, and
    why not; `scoring`, why fewer frames are scored than are due, "" when all are."""

    device_id: str
    agent_version: str
    state: SessionState
    session_id: str | None
    clip_id: str | None
    recorded_s: float
    pre_roll_ready_s: float
    pre_roll_asked_s: float
    pre_roll_bytes: int
    frames_captured: int
    frames_written: int
    last_durable_pts_ns: int | None
    writer_queue_s: float
    writer_stalls: int
    tagger: Literal["ready", "starting", "fault", "silent"]
    model: str | None
    accelerator: str | None
    coverage_lately: float | None
    clock_trust: Literal["trusted", "untrusted"]
    free_bytes: int
    card_minutes_left: float | None = None
    battery_percent: float | None = None
    on_mains: bool | None = None
    keys_order: int = 0
    indication: str = ""
    faults: tuple[str, ...] = ()
    parts_at_fault: tuple[str, ...] = ()
    card_shown: str = ""
    plan: str = ""
    preflight: str = ""
    scoring: str = ""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """`refused` is empty when the request was carried out, else one line with the remedy."""

    refused: str = ""
    status: RecorderStatus


class EventOccurred(msgspec.Struct, frozen=True, tag="event"):
    event: DeviceEvent


class StatusSnapshot(msgspec.Struct, frozen=True, tag="status"):
    status: RecorderStatus


EventMessage = EventOccurred | StatusSnapshot


def pack(message: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(message)


def unpack(kind: Any, payload: bytes) -> Any:
    """Raises WireError when `payload` is too large or not a `kind`."""
    if len(payload) > MAX_IPC_BYTES:
        raise WireError(f"ipc message of {len(payload)} bytes is larger than {MAX_IPC_BYTES}")
    try:
        message = msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise WireError(f"ipc message not understood ({exc})") from exc
    return message
