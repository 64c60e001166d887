"""Lets a thread wake a service's `wait`: an eventfd that a poller can watch beside its sockets."""

from __future__ import annotations

import contextlib
import os


class Waker:
    """`wake` from any thread; `clear` from the one that waits on `descriptor`."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the counter is full: awake already
            os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)
