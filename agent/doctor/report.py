"""All parts, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.config import Settings
from agent.doctor.board import check_board, check_clock, check_power
from agent.doctor.card import check_card
from agent.doctor.finding import Finding, Visit, bad
from agent.doctor.keys import check_certificate, check_collector_key, check_custody_key
from agent.doctor.network import check_broker, check_network
from agent.doctor.recording import check_camera, check_encoder, check_recorder
from agent.doctor.tagging import check_accelerator, check_model
from agent.doctor.wearing import check_button, check_cards, check_led, check_microphone
from agent.errors import AgentError, ControlError
from agent.ipc.control import ask
from agent.ipc.messages import RecorderStatus, StatusRequest

# A new part is one line here, and a function in the room that it belongs to.
PARTS: dict[str, Callable[[Visit], Finding]] = {
    "recorder": check_recorder,
    "camera": check_camera,
    "encoder": check_encoder,
    "accelerator": check_accelerator,
    "model": check_model,
    "microphone": check_microphone,
    "button": check_button,
    "LED": check_led,
    "scenario cards": check_cards,
    "clock": check_clock,
    "card": check_card,
    "power": check_power,
    "board": check_board,
    "network": check_network,
    "certificate": check_certificate,
    "broker": check_broker,
    "custody key": check_custody_key,
    "collector key": check_collector_key,
}


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Examine and print. Returns 0 when no part is bad, else 1."""
    findings = examine(settings)
    if as_json:
        print(msgspec.json.encode({"findings": findings}).decode())  # noqa: T201
    else:
        print(table(findings))  # noqa: T201
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def examine(settings: Settings, sys_dir: Path = Path("/sys")) -> list[Finding]:
    """Look at every part. A part that cannot be examined is a bad finding, never an exception."""
    visit = Visit(settings, _recorder_status(settings), sys_dir)
    return [examine_part(part, visit) for part in PARTS]


def examine_part(part: str, visit: Visit) -> Finding:
    """One line of the table."""
    try:
        return PARTS[part](visit)
    except AgentError as exc:
        return bad(part, exc.what, exc.remedy)
    except OSError as exc:
        return bad(part, str(exc), "check the path in the settings, and its owner")


def table(findings: list[Finding]) -> str:
    """The findings as aligned lines."""
    width = max(len(finding.part) for finding in findings)
    lines = []
    for finding in findings:
        line = f"{finding.part:<{width}}  {finding.state:<4}  {finding.fact}"
        lines.append(f"{line} -> {finding.remedy}" if finding.remedy else line)
    return "\n".join(lines)


def _recorder_status(settings: Settings) -> RecorderStatus | None:
    try:
        return ask(settings.paths.runtime_dir, StatusRequest(), timeout_ms=1000).status
    except ControlError:
        return None
