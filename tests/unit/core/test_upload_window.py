from __future__ import annotations

import pytest

from agent.core.upload_window import CAP_BYTES, START_BYTES, UploadWindow

MS = 1_000_000
S = 1000 * MS
PART = 64 * 1024


def run_link(rate_bytes_per_s: float, delay_ns: int, seconds: float) -> UploadWindow:
    """A link with a queue in front: the window is kept full, each window is acked as it drains."""
    window, now_ns = UploadWindow(), 0
    while now_ns < seconds * S:
        flight = max(PART, window.size_bytes // PART * PART)
        round_trip_ns = max(delay_ns, int(flight / rate_bytes_per_s * S))
        now_ns += round_trip_ns
        for _ in range(flight // PART):
            window.acked(PART, PART, round_trip_ns, now_ns)
    return window


def test_starts_with_256_kib() -> None:
    assert UploadWindow().size_bytes == START_BYTES == 256 * 1024


def test_grows_to_the_cap_on_a_fast_link() -> None:
    assert run_link(200e6, 2 * MS, 5).size_bytes == CAP_BYTES


def test_holds_a_third_to_half_a_second_of_a_slow_link() -> None:
    window = run_link(1e6, 100 * MS, 120)
    assert 0.25e6 <= window.size_bytes <= 0.75e6


def test_never_falls_below_one_small_part_on_a_very_slow_link() -> None:
    assert run_link(25_000, 100 * MS, 600).size_bytes >= 64 * 1024


def test_loss_halves_once_a_round_trip() -> None:
    window = run_link(200e6, 20 * MS, 5)
    window.lost(10 * S)
    window.lost(10 * S + 1)
    assert window.size_bytes == CAP_BYTES // 2
    window.lost(11 * S)
    assert window.size_bytes == CAP_BYTES // 4


def test_own_cap_holds_from_the_start() -> None:
    assert UploadWindow(100_000).size_bytes == 100_000


def test_there_is_always_room_for_one_part_when_nothing_is_in_flight() -> None:
    window = UploadWindow(1)
    assert window.room_bytes(0) >= 1024 * 1024
    assert window.room_bytes(1) == 0


def test_timeout_follows_the_round_trip_and_doubles_with_losses_in_a_row() -> None:
    window = UploadWindow()
    assert window.timeout_ns == 4 * S
    for number in range(50):
        window.acked(PART, PART, 3 * S, number * 3 * S)
    assert 3 * S <= window.timeout_ns <= 4 * S
    before_ns = window.timeout_ns
    window.lost(200 * S)
    assert window.timeout_ns == pytest.approx(2 * before_ns)
    for number in range(10):
        window.lost((300 + 10 * number) * S)
    assert window.timeout_ns <= 30 * S


def test_goodput_is_what_was_acked_over_time() -> None:
    window = run_link(5e6, 10 * MS, 10)
    assert 4e6 < window.goodput_bytes_per_s < 6e6
