"""Footage files for the replay camera: finding, judging and reading them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import msgspec
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from agent.errors import FootageError

_NS_PER_S = 1_000_000_000
_NAL_SLICE = 1
_NAL_IDR = 5
_NAL_TYPE = 0x1F
_FALLBACK_RATE_HZ = Fraction(30)
# PyAV raises its own tree, most but not all of which is OSError or ValueError as well.
_VENDOR_ERRORS = (av.FFmpegError, OSError, ValueError)


class Footage(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be replayed. `copy_key` (its SPS and PPS, as the avcC box) is set when its
    packets can be passed on unchanged: H.264 in 4:2:0, no B-frames, a closed GOP every second."""

    path: Path
    width: int
    height: int
    frame_rate_hz: Fraction
    copy_key: bytes | None

    @property
    def period_ns(self) -> int:
        return round(_NS_PER_S / self.frame_rate_hz)


class SourceFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame of a file, `offset_ns` after its first. When copying, `packet` is its access unit
    (Annex B) and `picture` the newest decoded picture, or None; else `packet` is None."""

    offset_ns: int
    picture: VideoFrame | None
    packet: bytes | None = None
    keyframe: bool = False


def find_footage(path: Path) -> list[Path]:
    """The MP4 files of the folder `path`, sorted by name, or `path` itself when it is a file.

    Raises FootageError when there is nothing to replay.
    """
    try:
        if path.is_dir():
            files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".mp4")
            if not files:
                raise FootageError(
                    f"footage folder {path} holds no MP4 file",
                    remedy="put *.mp4 files into it, or correct camera.footage",
                )
            return files
        if path.exists():
            return [path]
    except OSError as exc:
        raise FootageError(
            f"footage {path} cannot be read ({exc.strerror})", remedy="check its owner and mode"
        ) from exc
    raise FootageError(f"footage {path} does not exist", remedy="correct camera.footage")


def inspect(path: Path, *, for_copy: bool) -> Footage:
    """Open `path`, decode its first picture and, when `for_copy`, read all its packets' headers.

    Raises FootageError, naming the file, when it is not video or does not decode.
    """
    try:
        if path.stat().st_size == 0:
            raise FootageError(f"footage {path} is empty", remedy="copy it again, or remove it")
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            copy_key = _copy_key(container, stream) if for_copy else None
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            if next(container.decode(stream), None) is None:
                raise FootageError(f"footage {path} holds no picture", remedy="remove it")
            return Footage(
                path=path,
                width=stream.width,
                height=stream.height,
                frame_rate_hz=_rate(stream),
                copy_key=copy_key,
            )
    except _VENDOR_ERRORS as exc:
        raise _unreadable(path, exc) from exc


def read_frames(footage: Footage, *, copy: bool) -> Iterator[SourceFrame]:
    """All frames of the file in presentation order, offsets rising from 0.

    Raises FootageError where the file breaks; what came before was good.
    """
    try:
        with av.open(str(footage.path)) as container:
            stream = _video_stream(container, footage.path)
            times = _Offsets(stream, footage.period_ns)
            if copy:
                yield from _copied(container, stream, times)
            else:
                for picture in container.decode(stream):
                    yield SourceFrame(offset_ns=times.of(picture.pts), picture=picture)
    except _VENDOR_ERRORS as exc:
        raise _unreadable(footage.path, exc) from exc


def _copied(
    container: InputContainer, stream: VideoStream, times: _Offsets
) -> Iterator[SourceFrame]:
    # Turns length prefixes into start codes and puts SPS and PPS before every IDR.
    to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        offset_ns, keyframe = times.of(packet.pts), packet.is_keyframe
        pictures = stream.codec_context.decode(packet)
        yield SourceFrame(
            offset_ns=offset_ns,
            picture=pictures[-1] if pictures else None,
            packet=b"".join(bytes(unit) for unit in to_annex_b.filter(packet)),
            keyframe=keyframe,
        )


class _Offsets:
    """Time since the first frame, strictly rising: a missing or backward time stamp becomes the
    one before plus the nominal period."""

    def __init__(self, stream: VideoStream, period_ns: int) -> None:
        base = stream.time_base or Fraction(1, _NS_PER_S)
        self._ns_per_tick = base * _NS_PER_S
        self._period_ns = period_ns
        self._first_ticks: int | None = None
        self._last_ns = -period_ns

    def of(self, ticks: int | None) -> int:
        if self._first_ticks is None:
            self._first_ticks = ticks
        offset_ns = self._last_ns + self._period_ns
        if ticks is not None and self._first_ticks is not None:
            stamped_ns = int((ticks - self._first_ticks) * self._ns_per_tick)
            if stamped_ns > self._last_ns:
                offset_ns = stamped_ns
        self._last_ns = offset_ns
        return offset_ns


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise FootageError(f"footage {path} holds no video", remedy="remove it")
    stream = container.streams.video[0]
    # Frame threads would keep several pictures each in memory; one thread decodes 720p in 3 ms.
    stream.codec_context.thread_count = 1
    return stream


def _rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    return rate if rate and 1 <= rate <= 240 else _FALLBACK_RATE_HZ


def _copy_key(container: InputContainer, stream: VideoStream) -> bytes | None:
    extradata = stream.codec_context.extradata
    if stream.codec_context.name != "h264" or stream.codec_context.pix_fmt != "yuv420p":
        return None
    if not extradata or extradata[0] != 1 or len(extradata) < 7:
        return None  # no avcC: not the MP4 form of H.264
    if stream.time_base is None:
        return None
    prefix_bytes = (extradata[4] & 3) + 1
    longest = (1 + 1 / (2 * _rate(stream))) / stream.time_base
    last_pts = last_key_pts = None
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is None or (last_pts is not None and packet.pts <= last_pts):
            return None  # B-frames, or time stamps that cannot be trusted
        if packet.is_keyframe and _opens_with_idr(bytes(packet), prefix_bytes):
            last_key_pts = packet.pts
        elif last_key_pts is None or packet.pts - last_key_pts >= longest:
            return None  # no keyframe at the start, or a GOP longer than a second
        last_pts = packet.pts
    return bytes(extradata) if last_pts is not None else None


def _opens_with_idr(access_unit: bytes, prefix_bytes: int) -> bool:
    """Whether the first slice of a length-prefixed access unit is an IDR's (a closed GOP); an
    I-frame that is merely a recovery point is flagged as a keyframe too."""
    at = 0
    while at + prefix_bytes < len(access_unit):
        size = int.from_bytes(access_unit[at : at + prefix_bytes], "big")
        kind = access_unit[at + prefix_bytes] & _NAL_TYPE
        if _NAL_SLICE <= kind <= _NAL_IDR:
            return kind == _NAL_IDR
        at += prefix_bytes + size
    return False


def _unreadable(path: Path, exc: Exception) -> FootageError:
    reason = getattr(exc, "strerror", None) or str(exc)
    if isinstance(exc, PermissionError):
        return FootageError(f"footage {path} cannot be read ({reason})", remedy="check its mode")
    return FootageError(
        f"footage {path} is damaged, cut short or no video ({reason})",
        remedy="copy it again, or remove it",
    )
