"""sd_notify: what systemd expects is what is sent; without systemd nothing happens."""

import contextlib
import socket
from pathlib import Path

from agent.ipc.notify import Notifier


def test_the_words_are_those_of_sd_notify(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready("standby")
        notifier.alive()
        notifier.status("recording")
        words = [listener.recv(100) for _ in range(3)]
        notifier.close()
    assert words == [b"READY=1\nSTATUS=standby", b"WATCHDOG=1", b"STATUS=recording"]


def test_without_a_supervisor_nothing_happens() -> None:
    Notifier({}).ready("standby")


def test_a_supervisor_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.alive()
    notifier.close()


def test_a_supervisor_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(10_000):  # far more than a socket's queue takes
            notifier.alive()
        notifier.close()
        assert listener.recv(100) == b"WATCHDOG=1"


def test_a_supervisor_that_does_not_read_never_holds_up_a_recording(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(10_000):
            notifier.alive()
        notifier.close()


def test_the_watchdog_is_fed_four_times_in_its_time_and_not_more(tmp_path: Path) -> None:
    now_s = 100.0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "notify"))
        values = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "8000000"}
        notifier = Notifier(values, monotonic_s=lambda: now_s)
        heard = []
        for _ in range(80):
            notifier.alive()
            with contextlib.suppress(BlockingIOError):
                heard.append(listener.recv(100))
            now_s += 0.1
        notifier.close()
    assert len(heard) == 4
