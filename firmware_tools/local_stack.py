"""A whole Sightline on this machine: broker, collector and one camera agent, all in one folder.

The demo, the scenario tests and the benchmark stand on this. The programs are the real ones, each
a process of its own; leaving the context ends them all.

    DIR/fleet/        keys and certificates       DIR/agent.toml, DIR/collector.toml
    DIR/camera/       the camera's card           DIR/store/   what the collector stored
    DIR/logs/         one file a program
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.errors import AgentError, ControlError
from agent.ipc.control import ask
from agent.ipc.messages import (
    ControlReply,
    ControlRequest,
    MarkRequest,
    RecorderStatus,
    StartRequest,
    StatusRequest,
    StopRequest,
)
from agent.supervisor import Program, Supervisor
from firmware_tools.dev_fleet import Fleet, make_fleet
from firmware_tools.local_broker import find_mosquitto

DEVICE_ID = "cam01"
PROGRAMS = ("agent", "collector", "broker")
WATCHDOG_S = 30.0

Sections = dict[str, dict[str, object]]


class StackError(AgentError):
    """The local stack did not do in time what was waited for."""


class LocalStack:
    """Broker, collector and agent under one supervisor.

    `agent` and `collector` hold settings that go over the defaults, by section. Use as a context
    manager; between calls nothing is supervised, so wait with `wait_until`. `programs` says which
    of the three to run; `bundle` None: the active slot's; `more_devices` get keys, and no program;
    `agent_prefix` goes before the agent's command line (env, nice, ...).
    """

    def __init__(
        self,
        folder: Path,
        *,
        footage: Path,
        bundle: Path | None,
        more_devices: Sequence[str] = (),
        agent: Sections | None = None,
        collector: Sections | None = None,
        programs: Collection[str] = PROGRAMS,
        agent_prefix: tuple[str, ...] = (),
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.folder = folder.resolve()
        self.footage = footage.resolve()
        self.bundle = None if bundle is None else bundle.resolve()
        self._more_devices = more_devices
        self.state_dir = self.folder / "camera"
        self.store_dir = self.folder / "store"
        self.logs_dir = self.folder / "logs"
        # A socket's path may have 107 bytes at most: so not under the folder, which may be deep.
        self._sockets = tempfile.TemporaryDirectory(prefix="sightline-", ignore_cleanup_errors=True)
        self.runtime_dir = Path(self._sockets.name)
        self._agent_sections = agent or {}
        self._collector_sections = collector or {}
        self._programs = programs
        self._agent_prefix = agent_prefix
        self._report = report
        self._supervisor: Supervisor | None = None
        self.fleet: Fleet

    def __enter__(self) -> Self:
        for made in (self.folder, self.logs_dir):
            made.mkdir(parents=True, exist_ok=True)
        self.fleet = make_fleet(self.folder / "fleet", [DEVICE_ID, *self._more_devices])
        self.agent_config.write_text(_toml(self._agent_settings()))
        self.collector_config.write_text(_toml(self._collector_settings()))
        self._supervisor = Supervisor(self._table(), self._report)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None
        self._sockets.cleanup()

    @property
    def agent_config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def collector_config(self) -> Path:
        return self.folder / "collector.toml"

    @property
    def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise StackError("the local stack is not running")
        return self._supervisor

    def turn(self) -> None:
        """Supervise for a moment: start what is due, restart what ended."""
        self.supervisor.turn(0.05)

    def wait_until(self, happened: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Supervise until `happened()`. Raises StackError naming `what` and the logs."""
        deadline_s = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"waited {timeout_s:g} s in vain for {what}", remedy=f"see {self.logs_dir}"
                )
            self.turn()

    def wait_ready(self, *, timeout_s: float = 90.0) -> None:
        """Until the camera gives pictures and its tagger scores them."""
        self.wait_until(self._is_ready, timeout_s=timeout_s, what="camera, tagger and collector")

    def start(self, declared: dict[str, str] | None = None) -> ControlReply:
        return self._press(StartRequest(_boot_ns(), source="demo", declared=declared or {}))

    def mark(self) -> ControlReply:
        return self._press(MarkRequest(_boot_ns(), source="demo"))

    def stop(self) -> ControlReply:
        return self._press(StopRequest(_boot_ns(), source="demo"))

    def status(self) -> RecorderStatus | None:
        """The recorder's state, or None while it does not answer."""
        try:
            return ask(self.runtime_dir, StatusRequest(), timeout_ms=500).status
        except ControlError:
            return None

    def _is_ready(self) -> bool:
        if not self.supervisor.all_ready():
            return False
        status = self.status()
        if status is None:
            return False
        if status.faults and status.frames_captured == 0:
            raise StackError(status.faults[0])
        return status.state == "standby" and status.tagger == "ready"

    def _press(self, request: ControlRequest) -> ControlReply:
        reply = ask(self.runtime_dir, request)
        if reply.refused:
            raise StackError(reply.refused)
        return reply

    def _table(self) -> list[Program]:
        def log(name: str) -> Path:
            return self.logs_dir / f"{name}.log"

        config = str(self.agent_config)
        agent = (*self._agent_prefix, sys.executable, "-m", "agent", "--config", config, "run")
        collector = (
            sys.executable,
            "-m",
            "collector",
            "run",
            "--config",
            str(self.collector_config),
        )
        broker = (find_mosquitto(), "-c", str(self.fleet.broker.conf_file))
        table = [
            Program(
                name="agent",
                argv=agent,
                watchdog_s=WATCHDOG_S,
                stop_within_s=100.0,  # its three services, one after the other
                log_file=log("agent"),
            ),
            Program(name="collector", argv=collector, log_file=log("collector")),
            Program(name="broker", argv=broker, log_file=log("broker")),
        ]
        return [program for program in table if program.name in self._programs]

    def _agent_settings(self) -> Sections:
        device = self.fleet.device(DEVICE_ID)
        settings: Sections = {
            "device": {"device_id": DEVICE_ID, "kind": "desk"},
            "paths": {"state_dir": self.state_dir, "runtime_dir": self.runtime_dir},
            "camera": {"driver": "replay", "footage": self.footage, "frame_rate_hz": 35},
            "tagger": {} if self.bundle is None else {"bundle": self.bundle},
            "uplink": {
                "host": self.fleet.host,
                "port": self.fleet.port,
                "ca_file": device.tls.ca_file,
                "cert_file": device.tls.cert_file,
                "key_file": device.tls.key_file,
            },
            "trust": {
                "recipients_file": device.recipients_file,
                "receipt_key_file": device.receipt_key_file,
                "custody_key_file": device.custody_key_file,
            },
        }
        return _over(settings, self._agent_sections)

    def _collector_settings(self) -> Sections:
        files = self.fleet.collector
        settings: Sections = {
            "collector": {"name": files.collector_id, "store_dir": self.store_dir},
            "broker": {
                "host": self.fleet.host,
                "port": self.fleet.port,
                "ca_file": files.tls.ca_file,
                "cert_file": files.tls.cert_file,
                "key_file": files.tls.key_file,
            },
            "keys": {
                "age_identity_files": [str(files.age_identity_file)],
                "receipt_key_file": files.receipt_private_key_file,
                "devices_dir": files.devices_dir,
            },
        }
        return _over(settings, self._collector_sections)


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _over(settings: Sections, changes: Sections) -> Sections:
    merged = {name: dict(section) for name, section in settings.items()}
    for name, section in changes.items():
        merged.setdefault(name, {}).update(section)
    return merged


def _toml(sections: Sections) -> str:
    lines: list[str] = []
    for name, section in sections.items():
        lines.append(f"[{name}]")
        for key, value in section.items():
            plain = str(value) if isinstance(value, Path) else value
            # JSON's strings, numbers, true, false and lists are written the same in TOML.
            lines.append(f"{key} = {json.dumps(plain)}")
        lines.append("")
    return "\n".join(lines)
