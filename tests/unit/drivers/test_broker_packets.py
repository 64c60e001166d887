from __future__ import annotations

import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drivers.broker_packets import PacketReader
from agent.drivers.broker_socket import Wakefulness

MOST_BYTES = 100_000


class Pieces:
    """Gives what it was given, piece by piece; between two pieces there is nothing to read."""

    def __init__(self, pieces: list[bytes], *, ends: bool = False) -> None:
        self._pieces = [item for piece in pieces for item in (piece, b"")]
        self._ends = ends

    def recv_into(self, buffer: memoryview, /) -> int:
        if not self._pieces and self._ends:
            return 0
        if not self._pieces or not self._pieces[0]:
            self._pieces = self._pieces[1:]
            raise BlockingIOError
        taken = self._pieces[0][: len(buffer)]
        self._pieces[0] = self._pieces[0][len(taken) :]
        buffer[: len(taken)] = taken
        if not self._pieces[0]:
            self._pieces.pop(0)
        return len(taken)


def packed(first_byte: int, body: bytes) -> bytes:
    header, length = bytearray([first_byte]), len(body)
    while True:
        length, low = divmod(length, 128)
        header.append(low | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


@given(
    packets=st.lists(
        st.tuples(st.integers(0x10, 0xFF), st.sampled_from([0, 1, 127, 128, 16_384, 70_000])),
        max_size=6,
    ),
    cuts=st.lists(st.integers(0, 200_000), max_size=12),
)
def test_packets_come_out_whole_however_the_stream_is_cut(
    packets: list[tuple[int, int]], cuts: list[int]
) -> None:
    sent = [(first, bytes([number]) * size) for number, (first, size) in enumerate(packets)]
    stream = b"".join(packed(first, body) for first, body in sent)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(places) if a < b]
    reader = PacketReader(Pieces(pieces), MOST_BYTES)
    found = []
    for _ in range(len(packets) + 2 * len(pieces) + 2):
        packet = reader.next()
        if packet is not None:
            found.append((packet[0], bytes(packet[1])))
    assert found == sent
    assert not reader.has_unread
    assert reader.missing_bytes == 0


def test_what_is_missing_of_a_packet_is_known_once_its_header_is_here() -> None:
    stream = packed(0x30, bytes(50_000))
    reader = PacketReader(Pieces([stream[:20_000], stream[20_000:]]), MOST_BYTES)
    assert reader.missing_bytes == 0
    assert reader.next() is None
    assert reader.missing_bytes == len(stream) - 20_000


def test_packet_above_the_limit_is_an_error() -> None:
    reader = PacketReader(Pieces([packed(0x30, bytes(MOST_BYTES + 1))]), MOST_BYTES)
    with pytest.raises(OSError, match="a packet of 100001 bytes"):
        reader.next()


def test_length_of_more_than_four_bytes_is_an_error() -> None:
    reader = PacketReader(Pieces([b"\x30\xff\xff\xff\xff\x01"]), MOST_BYTES)
    with pytest.raises(OSError, match="more than 4 bytes"):
        reader.next()


def test_end_of_the_stream_is_an_error_also_within_a_packet() -> None:
    for stream in ([], [b"\x30"], [packed(0x30, b"abc")[:3]]):
        reader = PacketReader(Pieces(stream, ends=True), MOST_BYTES)
        assert all(reader.next() is None for _ in stream)
        with pytest.raises(ConnectionAbortedError):
            reader.next()


def test_reader_sleeps_only_for_bytes_that_are_sure_to_come() -> None:
    with socket.socket() as sock:
        wakefulness = Wakefulness(sock)
        for missing_bytes in (0, 1, 33_000, 262_144, 10, 0):
            wakefulness.expect(missing_bytes)
            least = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            assert least == 1 or least <= missing_bytes - 2 * 16 * 1024
