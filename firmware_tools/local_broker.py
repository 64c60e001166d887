"""A real Mosquitto for one throw-away fleet on this machine: for the demo, the tests, the bench."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from agent.errors import AgentError, BrokerError
from firmware_tools.dev_fleet import Fleet, open_fleet

# Debian puts Mosquitto where ordinary users do not look.
_MORE_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin")
_POLL_S = 0.02


def find_mosquitto(search_path: str | None = None) -> str:
    """The path of the program. Raises BrokerError with the remedy when it is not installed."""
    if search_path is None:
        search_path = os.pathsep.join([os.environ.get("PATH", ""), *_MORE_FOLDERS])
    found = shutil.which("mosquitto", path=search_path)
    if found is None:
        raise BrokerError(
            "the MQTT broker Mosquitto is not installed", remedy="sudo apt-get install mosquitto"
        )
    return found


class LocalBroker:
    """Mosquitto with the fleet's configuration, started and stopped as often as asked.

    `start` returns when it accepts TLS connections, and raises BrokerError with Mosquitto's own
    last words when it cannot. `stop` ends it cleanly, `kill` as a power cut would; both return
    when it is gone, and do nothing when it is not running. As a context manager: start and stop.
    """

    def __init__(
        self, fleet: Fleet, *, timeout_s: float = 10.0, program: str | None = None
    ) -> None:
        self._fleet = fleet
        self._timeout_s = timeout_s
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.is_running else None

    def start(self) -> None:
        if self.is_running:
            return
        program = self._program or find_mosquitto()
        with self._errors_file.open("wb") as errors:
            # Its own session: Ctrl-C at a terminal reaches the one who started it, who stops it.
            self._process = subprocess.Popen(
                [program, "-c", str(self._fleet.broker.conf_file)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def __enter__(self) -> LocalBroker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _errors_file(self) -> Path:
        return self._fleet.broker.log_file.with_suffix(".stderr")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        context = ssl.create_default_context(cafile=str(self._fleet.ca_file))
        tls = self._fleet.collector.tls
        context.load_cert_chain(tls.cert_file, tls.key_file)
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerError(
                    f"Mosquitto ended at once with status {process.returncode}"
                    f" ({self._last_words()})",
                    remedy=f"see {self._fleet.broker.log_file} and {self._fleet.broker.conf_file}",
                )
            with contextlib.suppress(OSError):
                address = ("127.0.0.1", self._fleet.port)
                with (
                    socket.create_connection(address, timeout=1.0) as plain,
                    context.wrap_socket(plain, server_hostname=self._fleet.host),
                ):
                    # Another program may hold the port: ours must live on after it answered.
                    if process.poll() is None:
                        return
            time.sleep(_POLL_S)
        raise BrokerError(
            f"Mosquitto does not accept TLS on 127.0.0.1:{self._fleet.port}"
            f" within {self._timeout_s:g} s ({self._last_words()})",
            remedy=f"see {self._fleet.broker.log_file}",
        )

    def _last_words(self) -> str:
        lines: list[str] = []
        for file in (self._errors_file, self._fleet.broker.log_file):
            with contextlib.suppress(OSError):
                lines += file.read_text(errors="replace").splitlines()
        # Warnings may follow the line that tells why.
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or ["it said nothing"])[-1].strip()

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(with_signal)
        try:
            process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_tools.local_broker",
        description="Run the broker of a throw-away fleet until Ctrl-C.",
    )
    parser.add_argument("directory", type=Path, help="the fleet's folder")
    options = parser.parse_args(arguments)
    # A polite end on `kill` too: SIGTERM becomes the same exception as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        fleet = open_fleet(options.directory)
        with LocalBroker(fleet) as broker:
            print(f"broker on {fleet.host}:{fleet.port}, process {broker.pid}; Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    except AgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
