"""The one way in and out for JSON messages: sizes bounded, versions checked, reasons given."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from agent.errors import WireError

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1024 * 1024

# JSON bounds no number, but what stores them does (SQLite: 64 bits). A time in nanoseconds reaches
# from 1823 to 2116, so that the difference of two still fits; a count leaves room for sums.
TimeNs = Annotated[int, msgspec.Meta(gt=-(1 << 62), lt=1 << 62)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every message: unknown fields are ignored, unknown versions refused."""

    v: int = 1


def encode(message: msgspec.Struct) -> bytes:
    """Compact JSON, fields in declaration order: the same struct gives the same bytes."""
    return msgspec.json.encode(message)


def decode(kind: type[T], payload: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """Parse `payload` as the Message type `kind`.

    Raises WireError with the reason: too large, nested too deeply, not JSON, a field missing or
    of the wrong type or range, or a version this program does not know.
    """
    message: T = decode_union(kind, payload, max_bytes=max_bytes)
    return message


def decode_union(kind: Any, payload: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """As `decode`, where `kind` may be a tagged union of Message types."""
    if len(payload) > max_bytes:
        raise WireError(f"message of {len(payload)} bytes is larger than {max_bytes}")
    try:
        message = msgspec.json.decode(payload, type=kind)
    except RecursionError as exc:
        raise WireError("message nested too deeply") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise WireError(f"not a valid message ({exc})") from exc
    version = getattr(message, "v", None)
    if version != 1:
        raise WireError(f"message version {version} is not known here", remedy="update this side")
    return message
