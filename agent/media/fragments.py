"""From packets to fragments: one closed GOP each, of one fragmented MP4 (ISO/IEC 14496-12)."""

from __future__ import annotations

from fractions import Fraction

import av
import msgspec
from av.container import OutputContainer
from av.stream import Stream

from agent.errors import CameraError, EncoderError
from agent.media.access_unit import NAL_PPS, NAL_SPS, leading_kinds
from agent.ports.camera import Packet

# The customary clock of MPEG. Every time is rounded by itself from the clip's start, so nothing
# drifts: the error of any frame stays below 6 us however long the clip.
TIMESCALE_HZ = 90_000
_NS_PER_S = 1_000_000_000
_WRITE_BYTES = 512 * 1024
_OPTIONS = {
    # Each keyframe closes the fragment before it; offsets count from the fragment's own moof, so
    # any prefix of fragments stands alone; no index at the end, which would grow over the clip.
    "movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer",
    "video_track_timescale": str(TIMESCALE_HZ),
    "fflags": "+bitexact",
}


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """Fragment `index` of a clip: `frames` frames over [start_pts_ns, end_pts_ns).

    `content` of fragment 0 begins with the init segment (ftyp, moov); every further one is moof and
    mdat. The concatenation of any first n fragments is a playable MP4 that begins at t = 0.
    """

    index: int
    content: bytes
    start_pts_ns: int
    end_pts_ns: int
    frames: int


class _Sink:
    """What libavformat writes to; it cannot seek, so nothing written is ever touched again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


class FragmentMuxer:
    """Makes the fragments of one clip; the next clip takes a new muxer. Not for two threads.

    The first packet is a keyframe with SPS and PPS in band; the sizes are the stream's. Frame times
    and durations are the real ones, to 1/90000 s, whatever the rate does. Holds one GOP at a time.
    """

    def __init__(self, width: int, height: int, frame_rate_hz: float) -> None:
        self._sink = _Sink()
        # Options go to the container alone: PyAV warns of any that it could not place in a codec.
        self._container: OutputContainer = av.open(
            self._sink, "w", format="mp4", container_options=_OPTIONS, buffer_size=_WRITE_BYTES
        )
        rate = Fraction(frame_rate_hz).limit_denominator(1001)
        self._stream: Stream = self._container.add_mux_stream(
            "h264", rate, width=width, height=height
        )
        self._stream.time_base = Fraction(1, TIMESCALE_HZ)
        self._clip_start_ns: int | None = None
        self._gop_start_ns = 0
        self._newest: Packet | None = None
        self._frames = 0
        self._index = 0
        self._finished = False

    def push(self, packet: Packet) -> Fragment | None:
        """Take the next packet; returns the fragment that a keyframe closed, else None.

        Raises CameraError when the stream does not begin with a keyframe that has SPS and PPS, does
        not rise or comes after `finish`; EncoderError when the packet is no H.264 for an MP4.
        """
        self._check(packet)
        if self._clip_start_ns is None:
            self._clip_start_ns = self._gop_start_ns = packet.pts_ns
        self._mux(packet, self._clip_start_ns)
        closed = None
        if packet.keyframe and self._frames:
            closed = self._close_gop(packet.pts_ns)
        self._frames += 1
        self._newest = packet
        return closed

    def finish(self) -> Fragment | None:
        """The last fragment, whose last frame lasts as long as its packet says; None when nothing
        was pushed or when called again."""
        if self._finished or self._newest is None:
            self._finished = True
            return None
        self._finished = True
        try:
            self._container.close()
        except (av.FFmpegError, ValueError) as exc:
            raise EncoderError(f"fragment {self._index} cannot be finished ({exc})") from exc
        return self._close_gop(self._newest.pts_ns + self._newest.duration_ns)

    def _check(self, packet: Packet) -> None:
        if self._finished:
            raise CameraError("fragments: a packet came after the clip's end")
        if self._newest is None and not packet.keyframe:
            raise CameraError("fragments: the clip does not begin with a keyframe")
        if self._newest is None and not leading_kinds(packet.data) >= {NAL_SPS, NAL_PPS}:
            # libavformat would write an MP4 without avcC, unplayable, and say nothing.
            raise CameraError("fragments: the first keyframe has no SPS and PPS in band")
        if self._newest is not None and packet.pts_ns <= self._newest.pts_ns:
            raise CameraError("fragments: timestamps do not rise")

    def _mux(self, packet: Packet, clip_start_ns: int) -> None:
        muxed = av.Packet(packet.data)
        muxed.stream = self._stream
        muxed.time_base = Fraction(1, TIMESCALE_HZ)
        muxed.pts = muxed.dts = _ticks(packet.pts_ns - clip_start_ns)
        end_ticks = _ticks(packet.pts_ns + packet.duration_ns - clip_start_ns)
        muxed.duration = max(1, end_ticks - muxed.pts)
        muxed.is_keyframe = packet.keyframe
        try:
            self._container.mux_one(muxed)
        except (av.FFmpegError, ValueError) as exc:
            raise EncoderError(
                f"fragment {self._index}: a packet of {len(packet.data)} bytes is refused ({exc})"
            ) from exc

    def _close_gop(self, end_pts_ns: int) -> Fragment:
        fragment = Fragment(
            index=self._index,
            content=self._sink.take(),
            start_pts_ns=self._gop_start_ns,
            end_pts_ns=end_pts_ns,
            frames=self._frames,
        )
        self._index += 1
        self._gop_start_ns = end_pts_ns
        self._frames = 0
        return fragment


def _ticks(offset_ns: int) -> int:
    return (offset_ns * TIMESCALE_HZ + _NS_PER_S // 2) // _NS_PER_S
