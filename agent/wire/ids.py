"""Names of sessions and clips. They sort by time without a clock and never repeat.

    session_id = <device_id>-<epoch>-<boot:06d>-<session:04d>
    clip_id    = <session_id>-<clip:04d>          a clip of footage
               | <session_id>-record              the session record

`epoch` is 64 random bits in hex, made with the state directory: a reflashed card starts a new
one. `boot` counts starts of the recorder, `session` counts within a boot, `clip` within a session.
"""

from __future__ import annotations

import re

import msgspec

from agent.errors import WireError

_CLIP = re.compile(
    r"(?P<device>[A-Za-z0-9_-]{1,40})-(?P<epoch>[0-9a-f]{16})-(?P<boot>[0-9]{6,9})"
    r"-(?P<session>[0-9]{4,6})-(?P<clip>[0-9]{4,6}|record)"
)


class ClipName(msgspec.Struct, frozen=True):
    """The parts of a clip id; `clip` is None for a session record."""

    device_id: str
    epoch: str
    boot: int
    session: int
    clip: int | None

    @property
    def session_id(self) -> str:
        return f"{self.device_id}-{self.epoch}-{self.boot:06d}-{self.session:04d}"

    @property
    def clip_id(self) -> str:
        last = "record" if self.clip is None else f"{self.clip:04d}"
        return f"{self.session_id}-{last}"


def parse_clip_id(text: str) -> ClipName:
    """The name behind `text`. Raises WireError when it is not in canonical form."""
    found = _CLIP.fullmatch(text) if len(text) <= 96 else None
    if found is None:
        raise WireError(f"{text[:96]!r} is not a clip id")
    clip = found["clip"]
    name = ClipName(
        device_id=found["device"],
        epoch=found["epoch"],
        boot=int(found["boot"]),
        session=int(found["session"]),
        clip=None if clip == "record" else int(clip),
    )
    if name.clip_id != text:
        raise WireError(f"{text!r} is not a clip id in canonical form")
    return name
