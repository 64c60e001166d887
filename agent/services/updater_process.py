"""The updater as a process of its own: its memory goes when it ends."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence

from agent.ipc.framed import Framed
from agent.ipc.notify import child_environment
from agent.ipc.update_messages import FromUpdater

_PATIENCE_S = 5.0


class UpdaterProcess:
    """Starts `argv` with `--descriptor N`: the number of its end of the socket pair. Raises
    OSError when it cannot be started."""

    def __init__(self, argv: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        try:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [*argv, "--descriptor", str(number)],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.link = Framed(ours, FromUpdater)

    def ended(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self.link.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_PATIENCE_S)
