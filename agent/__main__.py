"""sightline-agent: the camera's program. `sightline-agent --help` lists the commands."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from agent import __version__
from agent.config import Settings, load_settings
from agent.errors import AgentError, ControlError
from agent.ipc.control import ask
from agent.ipc.messages import (
    ControlRequest,
    MarkRequest,
    RecorderStatus,
    StartRequest,
    StatusRequest,
    StopRequest,
)

DEFAULT_CONFIG = "/etc/sightline/agent.toml"
SERVICES = ("recorder", "tagger", "uplink")
_PR_SET_PDEATHSIG = 1


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 2 the configuration is wrong."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s {options.command}: %(message)s"
    )
    try:
        settings = load_settings(Path(options.config))
        return _run(options, settings)
    except AgentError as exc:
        print(f"sightline-agent: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sightline-agent", description="Sightline's camera program: records, tags, uploads."
    )
    parser.add_argument(
        "--config",
        default=os.environ.get("SIGHTLINE_CONFIG", DEFAULT_CONFIG),
        help=f"settings (TOML); default $SIGHTLINE_CONFIG or {DEFAULT_CONFIG}",
    )
    parser.add_argument("--version", action="version", version=f"sightline-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run all three services under one supervisor (no systemd)")
    for service in SERVICES:
        commands.add_parser(service, help=f"run the {service} service alone")
    commands.add_parser("check-config", help="check the settings and say what they mean")
    doctor = commands.add_parser("doctor", help="check every part: state, fact, remedy")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    status = commands.add_parser("status", help="what the camera is doing now")
    status.add_argument("--json", action="store_true", help="the whole status as JSON")
    updater = commands.add_parser("update-models", help="started by the uplink, when it has news")
    updater.add_argument("--descriptor", type=int, required=True)
    gate = commands.add_parser("gate", help="try a model bundle on this machine: JSON, one line")
    gate.add_argument("folder", type=Path, metavar="FOLDER")
    start = commands.add_parser("start", help="the start press: begin a session")
    start.add_argument(
        "--declare",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a declared label, for example scenario=hostage; may be repeated",
    )
    commands.add_parser("stop", help="the stop press: end the session after the post-roll")
    commands.add_parser("mark", help="mark this moment of the session")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    command: str = options.command
    if command == "check-config":
        return _check_config(options.config, settings)
    if command == "doctor":
        from agent.doctor import run_doctor

        return run_doctor(settings, as_json=options.json)
    if command == "status":
        return _show_status(settings, as_json=options.json)
    if command in ("start", "stop", "mark"):
        return _press(settings, _press_request(options))
    _die_with_parent()
    if command == "run":
        from agent.app import run_all

        return run_all(Path(options.config), settings)
    from agent import app

    if command == "gate":
        report = app.run_gate(settings, options.folder)
        print(msgspec.json.encode(report).decode())
        return 1 if report.refused else 0
    if command == "update-models":
        return app.update_models(settings, options.descriptor)
    return app.run_one(command, settings, Path(options.config))


def _press_request(options: argparse.Namespace) -> ControlRequest:
    pts_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    if options.command == "stop":
        return StopRequest(pts_ns)
    if options.command == "mark":
        return MarkRequest(pts_ns)
    declared = {}
    for word in options.declare:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise ControlError(
                f"--declare {word!r} is not KEY=VALUE", remedy="for example scenario=hostage"
            )
        declared[key] = value
    return StartRequest(pts_ns, declared=declared)


def _press(settings: Settings, request: ControlRequest) -> int:
    reply = ask(settings.paths.runtime_dir, request)
    if reply.refused:
        raise ControlError(reply.refused)
    print(describe(reply.status))
    return 0


def _show_status(settings: Settings, *, as_json: bool) -> int:
    status = ask(settings.paths.runtime_dir, StatusRequest()).status
    print(msgspec.json.encode(status).decode() if as_json else describe(status))
    return 0


def describe(status: RecorderStatus) -> str:
    """The camera's state in one line, for a person."""
    words = [f"{status.device_id}: {status.state.replace('_', '-')}"]
    if status.session_id is not None:
        words.append(f"session {status.session_id}, {status.recorded_s:.0f} s recorded")
    else:
        words.append(
            f"pre-roll {status.pre_roll_ready_s:.0f} of {status.pre_roll_asked_s:.0f} s ready"
        )
    model = f"{status.model} on {status.accelerator}" if status.model else "no model"
    words.append(f"tagger {status.tagger} ({model})")
    room = f"{status.free_bytes / 1e9:.1f} GB free"
    if status.card_minutes_left is not None:
        room += f", {status.card_minutes_left:.0f} min of room"
    words.append(room)
    if status.battery_percent is not None:
        mains = ", on mains" if status.on_mains else ""
        words.append(f"battery {status.battery_percent:.0f} %{mains}")
    words.append(f"clock {status.clock_trust}")
    for name, said in (
        ("pre-flight", status.preflight),
        ("card", status.card_shown),
        ("plan", status.plan),
        ("scoring", status.scoring),
    ):
        if said:
            words.append(f"{name}: {said}")
    words.extend(f"FAULT {fault}" for fault in status.faults)
    return "; ".join(words)


def _check_config(file: str, settings: Settings) -> int:
    print(
        f"{file}: good. Device {settings.device.device_id} ({settings.device.kind}), camera "
        f"{settings.camera.driver} {settings.camera.width}x{settings.camera.height}, pre-roll "
        f"{settings.recorder.pre_roll_s:g} s, accelerator {settings.tagger.accelerator}, broker "
        f"{settings.uplink.host}:{settings.uplink.port}, state in {settings.paths.state_dir}"
    )
    return 0


def _die_with_parent() -> None:
    """A supervised service must not outlive a supervisor that was killed (prctl(2))."""
    parent = os.environ.get("SIGHTLINE_PARENT")
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
