"""sightline-collector: receives clips from the broker, verifies, opens and stores them."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from agent.drivers.allocator import tune_allocator
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles, tls_context
from agent.errors import AgentError
from collector.app import load_keys, make_ingest
from collector.config import CollectorSettings, load_collector_settings
from collector.order_command import add_order_parser, issue
from collector.report import Report
from collector.store import Store
from collector.underway import describe, underway


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ended as told, 1 a key, store or certificate problem, 2 a bad configuration."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_collector_settings(options.config)
        if options.command == "underway":
            for clip in underway(Store(settings.collector.store_dir)):
                print(describe(clip))
            return 0
        if options.command == "check-config":
            load_keys(settings)
            tls_context(_tls_files(settings))
            print(f"{options.config}: good")
            return 0
        if options.command == "order":
            for line in issue(options, settings):
                print(line)
            return 0
        _run(settings)
    except AgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sightline-collector", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("run", "receive clips until SIGTERM"),
        ("underway", "list the clips that are not whole yet, with the sheets that came ahead"),
        ("check-config", "read the configuration and all key files, and say what is wrong"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
    add_order_parser(commands)
    return parser


def _run(settings: CollectorSettings) -> None:
    tune_allocator()
    keys = load_keys(settings)
    stopping = _StopFlag()
    stopping.install()
    link = settings.broker
    broker = PahoBroker(
        host=link.host,
        port=link.port,
        client_id=settings.collector.name,
        tls=_tls_files(settings),
        keepalive_s=link.keepalive_s,
        subscribe_qos=0,
    )
    ingest = make_ingest(settings, keys, broker, Report(sys.stdout, sys.stderr, time.monotonic))
    try:
        ingest.start()
        while not stopping.is_set:
            ingest.step()
    finally:
        ingest.close()


def _tls_files(settings: CollectorSettings) -> TlsFiles:
    link = settings.broker
    return TlsFiles(ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file)


class _StopFlag:
    """Set by SIGTERM or SIGINT: the loop ends after the step at work."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, self._set)

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True


if __name__ == "__main__":
    sys.exit(main())
