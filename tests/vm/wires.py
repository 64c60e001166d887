"""The lines of a guest's GPIO chip, in the host's hand: QEMU's PL061 by the qtest protocol, and the
channel by which a test inside the guest asks for it.

The guest writes `set LINE LEVEL...` or `get LINE` and reads the answer, one line each. `set` drives
a line from outside, as a button does, through these levels; `get` tells the level that the chip
puts on an output.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

_CONNECT_S = 60.0
_CHIP = "pl061"


class Wires:
    """Serves one guest until its end. `folder` holds the sockets that QEMU made."""

    def __init__(self, folder: Path) -> None:
        self._qtest = _Lines(_connect(folder / "qtest.sock"))
        self._guest = _Lines(_connect(folder / "wires.sock"))
        self._chip = _path_of_chip(folder / "qmp.sock")
        self._outputs: dict[int, int] = {}
        self._tell(f"irq_intercept_out {self._chip}")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._guest.close()
        self._thread.join()
        self._qtest.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._guest.read():
                self._guest.write(self._answer(request.split()))

    def _answer(self, words: list[str]) -> str:
        match words:
            case ["set", line, *levels] if line.isdigit() and levels and set(levels) <= {"0", "1"}:
                wire = f"set_irq_in {self._chip} unnamed-gpio-in {line}"
                return [self._tell(f"{wire} {level}") for level in levels][-1]
            case ["get", line] if line.isdigit():
                self._tell("clock_step 0")  # whatever changed before has been told after this
                return str(self._outputs.get(int(line), 0))
        return f"not understood: {' '.join(words)}"

    def _tell(self, command: str) -> str:
        self._qtest.write(command)
        while answer := self._qtest.read():
            kind, *rest = answer.split()
            if kind != "IRQ":
                return answer
            self._outputs[int(rest[1])] = int(rest[0] == "raise")
        return "QEMU has ended"


class _Lines:
    """Lines of text over a socket; `read` gives "" at its end."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._reader = link.makefile("r", encoding="ascii", errors="replace")

    def read(self) -> str:
        return self._reader.readline().strip()

    def write(self, text: str) -> None:
        self._link.sendall(f"{text}\n".encode())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._link.close()


def _connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_S
    while True:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(path))
            return link
        except OSError:
            link.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # QEMU makes its sockets as it starts


def _path_of_chip(path: Path) -> str:
    """Where QEMU's object tree has the chip."""
    link = _Lines(_connect(path))
    try:
        link.read()
        for command in (
            {"execute": "qmp_capabilities"},
            {"execute": "qom-list", "arguments": {"path": "/machine/unattached"}},
        ):
            link.write(json.dumps(command))
            answer = json.loads(link.read())
        names = [item["name"] for item in answer["return"] if item["type"] == f"child<{_CHIP}>"]
        return f"/machine/unattached/{names[0]}"
    finally:
        link.close()
