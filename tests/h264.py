"""Reading back what was recorded, with a decoder that was not ours."""

from __future__ import annotations

import io
from collections.abc import Iterable

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from agent.ports.camera import Packet

NAL_IDR, NAL_SPS, NAL_PPS = 5, 7, 8


def nal_kinds(access_unit: bytes) -> list[int]:
    """The kinds of the NAL units of an Annex B access unit, in order."""
    kinds = []
    at = access_unit.find(b"\x00\x00\x01")
    while at >= 0:
        kinds.append(access_unit[at + 3] & 0x1F)
        at = access_unit.find(b"\x00\x00\x01", at + 3)
    return kinds


def decode_packets(packets: Iterable[Packet]) -> list[VideoFrame]:
    """All pictures in the packets. Nothing is known to the decoder but what is in band."""
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    pictures = []
    for packet in packets:
        pictures += decoder.decode(av.Packet(packet.data))
    return pictures + decoder.decode(None)


def mp4_frames(content: bytes) -> list[tuple[float, float]]:
    """(start, duration) in seconds of each frame in an MP4, as its container tells them."""
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 0)
        return [
            ((packet.pts or 0) * base, (packet.duration or 0) * base)
            for packet in container.demux(stream)
            if packet.size
        ]


def mp4_pictures(content: bytes) -> int:
    """How many pictures of an MP4 really decode."""
    with av.open(io.BytesIO(content)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))
