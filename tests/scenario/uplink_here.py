"""The uplink in a thread of the test, so that the test decides what surrounds it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import zmq

from agent.config import Settings
from agent.crypto.keys import load_public_key
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles
from agent.drivers.clock_system import SystemClock
from agent.drivers.surroundings_fake import FakeSurroundings
from agent.services.uplink import Uplink, last_will
from agent.storage.spool import Spool


class UplinkHere:
    """The real service over the real broker connection; `surroundings` are the test's."""

    def __init__(self, settings: Settings) -> None:
        self.surroundings = FakeSurroundings()
        self._settings = settings
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(30)
        if self._failed is not None and error is None:
            raise self._failed

    def _run(self) -> None:
        try:
            self._step_until_stopped()
        except BaseException as exc:
            self._failed = exc

    def _step_until_stopped(self) -> None:
        settings = self._settings
        link = settings.uplink
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        uplink = Uplink(
            broker=PahoBroker(
                host=link.host,
                port=link.port,
                client_id=settings.device.device_id,
                tls=TlsFiles(
                    ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file
                ),
                keepalive_s=link.keepalive_s,
                will=last_will(settings),
            ),
            clock=SystemClock(),
            spool=Spool(settings.paths.state_dir),
            settings=settings,
            receipt_keys=[load_public_key(settings.trust.receipt_key_file, "receipt key")],
            surroundings=self.surroundings,
            context=context,
        )
        try:
            while not self._stopping.is_set():
                if not uplink.step():
                    uplink.wait(0.05)
        finally:
            uplink.close()
            context.destroy(linger=0)
