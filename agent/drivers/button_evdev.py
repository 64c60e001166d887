"""A button that the kernel shows as an input device: gpio-keys, a USB clicker.

The events are read as the kernel writes them (linux/input.h, 24 bytes on 64-bit Linux); its clock
can be CLOCK_BOOTTIME, so nothing is converted.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.core.gestures import Edge
from agent.errors import ButtonError
from agent.ports.button import Button

_DEVICES = Path("/dev/input")
_EVENT = struct.Struct("llHHi")  # seconds, microseconds, type, code, value
_EV_SYN, _EV_KEY = 0x00, 0x01
_SYN_DROPPED = 3
_RELEASED, _PRESSED = 0, 1  # 2 repeats a key that is held
_READ_EVENTS = 64
_NAME_BYTES = 256


def _ioctl_number(direction: int, number: int, size: int) -> int:
    """_IOC of asm-generic/ioctl.h, for type 'E'."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


_EVIOCGNAME = _ioctl_number(2, 0x06, _NAME_BYTES)
_EVIOCGRAB = _ioctl_number(1, 0x90, 4)
_EVIOCSCLOCKID = _ioctl_number(1, 0xA0, 4)


class EvdevButton(Button):
    """`device`: a path (best one under /dev/input/by-id), or the device's name. `key`: the key code
    that counts (linux/input-event-codes.h), 0 for any: then it is down while any of them is. The
    device is grabbed, so that its keys do nothing else on the machine."""

    def __init__(self, *, device: str, key: int) -> None:
        super().__init__()
        self._device, self._key = device, key
        self._descriptor: int | None = None
        self._down: set[int] = set()

    def _open(self) -> str:
        descriptor, name = _find(self._device)
        self._descriptor = descriptor
        self._down.clear()
        fcntl.ioctl(descriptor, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_BOOTTIME))
        try:
            fcntl.ioctl(descriptor, _EVIOCGRAB, 1)
        except OSError as exc:
            raise ButtonError(
                f"input device {name!r} cannot be had alone ({exc.strerror})",
                remedy="end the program that has grabbed it",
            ) from exc
        return f"input device {name!r}"

    def _read(self, timeout_s: float) -> Sequence[Edge]:
        if self._descriptor is None:
            raise ButtonError("button is not open")
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return ()
        return list(self._edges(os.read(self._descriptor, _READ_EVENTS * _EVENT.size)))

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _edges(self, events: bytes) -> Iterator[Edge]:
        for seconds, micros, kind, code, value in _EVENT.iter_unpack(events):
            if (kind, code) == (_EV_SYN, _SYN_DROPPED):
                raise ButtonError("presses were lost: the kernel's buffer ran over")
            if kind != _EV_KEY or value not in (_PRESSED, _RELEASED) or self._key not in (0, code):
                continue
            was_down = bool(self._down)
            (self._down.add if value == _PRESSED else self._down.discard)(code)
            if bool(self._down) != was_down:
                yield Edge(not was_down, seconds * 1_000_000_000 + micros * 1_000)


def _find(device: str) -> tuple[int, str]:
    """An open descriptor of the device, and its name. Raises ButtonError."""
    if device.startswith("/"):
        return _open_device(Path(device))
    names = []
    for path in sorted(_DEVICES.glob("event*")):
        try:
            descriptor, name = _open_device(path)
        except ButtonError:
            continue
        if name == device:
            return descriptor, name
        names.append(repr(name))
        os.close(descriptor)
    there = ", ".join(names) or "none that may be read (group input)"
    raise ButtonError(f"input device {device!r} is not there", remedy=f"here: {there}")


def _open_device(path: Path) -> tuple[int, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise ButtonError(
            f"{path} cannot be read ({exc.strerror})",
            remedy="connect it, and put the recorder's user into its group (input)",
        ) from exc
    name = bytearray(_NAME_BYTES)
    try:
        fcntl.ioctl(descriptor, _EVIOCGNAME, name)
    except OSError as exc:
        os.close(descriptor)
        raise ButtonError(
            f"{path} is no input device", remedy="name one of /dev/input/by-id"
        ) from exc
    return descriptor, name.split(b"\0")[0].decode("utf-8", "replace")
