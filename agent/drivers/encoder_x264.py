"""libx264 through PyAV: I420 in, I420 all the way, one packet out for each picture in."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from agent import config
from agent.errors import EncoderError
from agent.ports.camera import Packet, RawFrame
from agent.ports.encoder import Encoder

GOP_NS = 1_000_000_000
_NS_PER_S = 1_000_000_000
# x264 counts in these ticks; the packets get the exact pts of their pictures back, not ticks.
_TICKS_PER_S = 1_000_000
_NO_KEYFRAME_BY_COUNT = 1_000_000


class X264Encoder(Encoder):
    """Constant bitrate H.264 without lookahead: small in memory, no delay, no B-frames.

    Keyframes are forced by pts: GOPs open on a grid of one second from the first picture, each at
    the picture nearest to its grid point, so a source whose rate wavers keeps its 1 s GOPs. After a
    hole in the source the grid begins anew at once. More than one thread slices each picture:
    frame threads would hold pictures back and cost their memory.
    """

    def __init__(self, settings: config.Encoder) -> None:
        super().__init__()
        self._settings = settings
        self._codec: VideoCodecContext | None = None
        self._unpacker: VideoCodecContext | None = None
        self._waiting_pts_ns: deque[int] = deque()
        self._first_pts_ns: int | None = None
        self._gop_due_ns = 0
        self._period_ns = 0
        self.name = f"libx264 {settings.preset}"

    def _open(self, width: int, height: int, frame_rate_hz: float) -> None:
        if self._codec is not None:
            raise EncoderError("encoder opened twice", remedy="close it first")
        settings = self._settings
        codec = VideoCodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.framerate = Fraction(frame_rate_hz).limit_denominator(1001)
        codec.time_base = Fraction(1, _TICKS_PER_S)
        codec.bit_rate = settings.bitrate_kbps * 1000
        codec.gop_size = _NO_KEYFRAME_BY_COUNT
        codec.max_b_frames = 0
        codec.thread_count = settings.threads
        codec.options = {
            "preset": settings.preset,
            "tune": "zerolatency",
            "forced-idr": "1",
            "sc_threshold": "0",
            "maxrate": str(settings.bitrate_kbps * 1000),
            "bufsize": str(settings.bitrate_kbps * 1000),
            # Without cfr, x264 holds each picture back until it knows the next one's time.
            "x264-params": "force-cfr=1:sliced-threads=1:mbtree=0",
        }
        codec.open()
        # A raw-video "decoder" makes a picture of packed bytes without copying them.
        unpacker = VideoCodecContext.create("rawvideo", "r")
        unpacker.width, unpacker.height, unpacker.pix_fmt = width, height, "yuv420p"
        self._codec, self._unpacker = codec, unpacker
        self._waiting_pts_ns.clear()
        self._first_pts_ns = None
        self._period_ns = round(_NS_PER_S / frame_rate_hz)

    def _encode(self, frame: RawFrame) -> list[Packet]:
        codec, unpacker = self._codec, self._unpacker
        if codec is None or unpacker is None:
            raise EncoderError("encoder used before open")
        if self._waiting_pts_ns and frame.pts_ns <= self._waiting_pts_ns[-1]:
            raise EncoderError("encoder: timestamps do not rise")
        opens_gop = self._opens_gop(frame.pts_ns)
        if self._first_pts_ns is None:
            self._first_pts_ns = frame.pts_ns
        picture = unpacker.decode(av.Packet(frame.data))[0]
        ticks = (frame.pts_ns - self._first_pts_ns) * _TICKS_PER_S // _NS_PER_S
        picture.pts, picture.time_base = ticks, Fraction(1, _TICKS_PER_S)
        picture.pict_type = PictureType.I if opens_gop else PictureType.NONE
        self._waiting_pts_ns.append(frame.pts_ns)
        return self._named(codec.encode(picture))

    def _opens_gop(self, pts_ns: int) -> bool:
        half_ns = self._period_ns // 2
        if self._first_pts_ns is None:
            self._gop_due_ns = pts_ns + GOP_NS
            return True
        if pts_ns < self._gop_due_ns - half_ns:
            return False
        late = pts_ns > self._gop_due_ns + self._period_ns
        self._gop_due_ns = (pts_ns if late else self._gop_due_ns) + GOP_NS
        return True

    def _named(self, encoded: list[av.Packet[Any]]) -> list[Packet]:
        return [
            Packet(
                pts_ns=self._waiting_pts_ns.popleft(),
                duration_ns=self._period_ns,
                data=bytes(packet),
                keyframe=packet.is_keyframe,
            )
            for packet in encoded
        ]

    def _finish(self) -> list[Packet]:
        return self._named(self._codec.encode(None)) if self._codec is not None else []

    def _close(self) -> None:
        self._codec = self._unpacker = None
        self._waiting_pts_ns.clear()
