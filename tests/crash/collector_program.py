"""The collector in a process of its own, all of it real; it leaves a mark in the trace just before
it sends a receipt.

python -m tests.crash.collector_program COLLECTOR_TOML
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles
from agent.errors import WireError
from agent.services.loop import StopFlag
from agent.wire.codec import decode_union
from agent.wire.topics import parse_down_clip
from agent.wire.transfer import ClipState, Stored
from collector.app import load_keys, make_ingest
from collector.config import load_collector_settings
from collector.report import Report
from tests.crash.account import STORED
from tests.crash.trace import mark


class MarkingBroker(PahoBroker):
    def __init__(self, *, marks: Path, **link: Any) -> None:
        super().__init__(**link)
        self._marks = marks

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str] | None = None,
    ) -> int | None:
        try:
            _device_id, clip_id = parse_down_clip(topic)
            if isinstance(decode_union(ClipState, payload), Stored):
                mark(self._marks, f"{STORED}:{clip_id}")
        except WireError:
            pass
        return super().publish(topic, payload, qos=qos, retain=retain, properties=properties)


def main(config_file: Path) -> None:
    settings = load_collector_settings(config_file)
    link = settings.broker
    broker = MarkingBroker(
        marks=config_file.resolve().parent,
        host=link.host,
        port=link.port,
        client_id=settings.collector.name,
        tls=TlsFiles(ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file),
        keepalive_s=link.keepalive_s,
        subscribe_qos=0,
    )
    report = Report(sys.stdout, sys.stderr, time.monotonic)
    stop = StopFlag()
    stop.install()
    ingest = make_ingest(settings, load_keys(settings), broker, report)
    try:
        ingest.start()
        while not stop.is_set:
            ingest.step()
    finally:
        ingest.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
