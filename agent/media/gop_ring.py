"""The pre-roll: the last seconds before a start press, in RAM, as whole GOPs."""

from __future__ import annotations

from collections import deque

from agent.errors import CameraError
from agent.ports.camera import Packet

_NS_PER_S = 1_000_000_000
# A press is acted on after its first edge: a slow hand's double press, and the pause that tells it
# from a triple one. So long must the ring reach back further.
PRESS_LATENCY_S = 5.0
MAX_RING_BYTES = 48 * 1024 * 1024


class _Gop:
    __slots__ = ("packets", "size_bytes")

    def __init__(self, first: Packet) -> None:
        self.packets = [first]
        self.size_bytes = len(first.data)

    @property
    def start_pts_ns(self) -> int:
        return self.packets[0].pts_ns


class GopRing:
    """Keeps `pre_roll_s` seconds of packets, kept to the GOP.

    What a press at P is given starts at the last keyframe at or before P - pre_roll: at least
    `pre_roll_s` once the ring has been full, and less than one GOP more. With a pre-roll of 0 it is
    the GOP in which P lies, so that nothing after the press is lost. Presses up to
    PRESS_LATENCY_S old are served exactly.

    `max_bytes` is a safety bound for a stream far above its bitrate: the oldest GOPs go first, and
    a single GOP above the bound goes whole (packets are then refused up to the next keyframe).
    `trimmed_by_size` counts the GOPs that went this way: the pre-roll is shorter than promised.
    Not for use from two threads.
    """

    def __init__(self, pre_roll_s: float, *, max_bytes: int = MAX_RING_BYTES) -> None:
        if pre_roll_s < 0 or max_bytes <= 0:
            raise ValueError("pre_roll_s must not be negative and max_bytes must be positive")
        self._pre_roll_ns = round(pre_roll_s * _NS_PER_S)
        self._kept_ns = self._pre_roll_ns + round(PRESS_LATENCY_S * _NS_PER_S)
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        self._bytes = 0
        self._newest: Packet | None = None
        self.trimmed_by_size = 0

    @property
    def bytes(self) -> int:
        """Bytes of H.264 held, up to PRESS_LATENCY_S more than a press would be given."""
        return self._bytes

    def push(self, packet: Packet) -> None:
        """Take the next packet. Without a keyframe before it, it is of no use and dropped.

        Raises CameraError when its pts does not rise.
        """
        if self._newest is not None and packet.pts_ns <= self._newest.pts_ns:
            raise CameraError("pre-roll: timestamps do not rise")
        if packet.keyframe:
            self._gops.append(_Gop(packet))
        elif self._gops:
            self._gops[-1].packets.append(packet)
            self._gops[-1].size_bytes += len(packet.data)
        else:
            return
        self._bytes += len(packet.data)
        self._newest = packet
        self._drop_before(packet.pts_ns - self._kept_ns)
        while self._bytes > self._max_bytes:
            self._drop_oldest()
            self.trimmed_by_size += 1

    def take(self, press_pts_ns: int | None = None) -> list[Packet]:
        """Hand out the pre-roll of a press at `press_pts_ns` (the newest packet's pts when None)
        up to the newest packet, from a keyframe on, and be empty. Empty when nothing is held."""
        if self._newest is not None:
            press_ns = self._newest.pts_ns if press_pts_ns is None else press_pts_ns
            self._drop_before(press_ns - self._pre_roll_ns)
        packets = [packet for gop in self._gops for packet in gop.packets]
        self.clear()
        return packets

    def ready_s(self, now_pts_ns: int) -> float:
        """Seconds before `now_pts_ns` that a press now would be given; 0 when nothing is held.
        Time after the end of the newest packet does not count."""
        if self._newest is None:
            return 0.0
        end_ns = min(now_pts_ns, self._newest.pts_ns + self._newest.duration_ns)
        start_ns = self._gops[0].start_pts_ns
        for gop in self._gops:
            if gop.start_pts_ns <= now_pts_ns - self._pre_roll_ns:
                start_ns = gop.start_pts_ns
        return max(0, end_ns - start_ns) / _NS_PER_S

    def clear(self) -> None:
        """Forget everything: the camera was lost, and what follows does not join on."""
        self._gops.clear()
        self._bytes = 0
        self._newest = None

    def _drop_before(self, wanted_pts_ns: int) -> None:
        while len(self._gops) > 1 and self._gops[1].start_pts_ns <= wanted_pts_ns:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._bytes -= self._gops.popleft().size_bytes
        if not self._gops:
            self._newest = None
