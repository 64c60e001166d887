"""`sightline-agent doctor`: each part in one line: its state, the fact measured, the remedy."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from agent import app, doctor_hands, parts
from agent.config import Settings
from agent.core.network_gate import rules_of, why_wait
from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect
from agent.drivers.clock_system import SystemClock
from agent.errors import AgentError, ControlError, KeyFileError
from agent.findings import Finding, State
from agent.ipc.control import ask
from agent.ipc.messages import (
    RecorderStatus,
    StatusRequest,
)
from agent.services.uplink_gate import local_minute
from agent.storage import atomic

CONNECT_TIMEOUT_S = 5.0
EXPIRY_WARN_DAYS = 14
LITTLE_ROOM_MINUTES = 60.0
SLOW_SYNC_MS = 200.0
MODEL_TRIALS = 20


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Examine and print. Returns 0 when no part is bad, else 1."""
    findings = examine(settings)
    if as_json:
        print(msgspec.json.encode({"findings": findings}).decode())  # noqa: T201
    else:
        print(table(findings))  # noqa: T201
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def examine(settings: Settings) -> list[Finding]:
    """Look at every part. A part that cannot be examined is a bad finding, never an exception."""
    running = _recorder_status(settings)
    parts: list[tuple[str, Callable[[], Finding]]] = [
        ("recorder", lambda: _recorder(settings, running)),
        ("camera", lambda: _camera(settings, running)),
        ("encoder", lambda: _encoder(settings)),
        ("model", lambda: _model(settings)),
        ("card", lambda: _card(settings, running)),
        ("button", lambda: doctor_hands.button(settings, running)),
        ("indicator", lambda: doctor_hands.indicator(settings, running)),
        ("power", lambda: _power(settings, running)),
        ("clock", _clock),
        ("custody key", lambda: _custody_key(settings)),
        ("collector key", lambda: _collector_keys(settings)),
        ("certificate", lambda: _certificate(settings)),
        ("broker", lambda: _broker(settings)),
        ("network", lambda: _network(settings)),
    ]
    findings = []
    for part, look in parts:
        try:
            findings.append(look())
        except AgentError as exc:
            findings.append(Finding(part=part, state="bad", fact=exc.what, remedy=exc.remedy))
        except OSError as exc:
            findings.append(Finding(part=part, state="bad", fact=str(exc)))
    return findings


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


def _recorder(settings: Settings, status: RecorderStatus | None) -> Finding:
    if status is None:
        return Finding(
            part="recorder",
            state="warn",
            fact=f"not running (no answer in {settings.paths.runtime_dir})",
            remedy="start it: `sightline-agent run`",
        )
    fact = f"{status.state}, pre-roll {status.pre_roll_ready_s:.0f} s, tagger {status.tagger}"
    if status.faults:
        fact = f"{status.state}, at fault: {'; '.join(status.faults)}"
        return Finding(part="recorder", state="bad", fact=fact, remedy="mend what the fault names")
    return Finding(part="recorder", state="good", fact=fact)


def _camera(settings: Settings, status: RecorderStatus | None) -> Finding:
    if status is not None:
        count = status.frames_captured
        state: State = "good" if count else "bad"
        return Finding(part="camera", state=state, fact=f"{count} frames since the recorder began")
    camera = parts.build_camera(settings, SystemClock(), lores_rate_hz=15.0)
    info = camera.open()
    camera.close()
    return Finding(
        part="camera",
        state="good",
        fact=f"{info.source}, {info.width}x{info.height} at {info.frame_rate_hz:g} Hz",
    )


def _encoder(settings: Settings) -> Finding:
    camera = settings.camera
    encoder = parts.build_encoder(settings)
    encoder.open(camera.width, camera.height, float(camera.frame_rate_hz))
    name = encoder.name
    encoder.close()
    return Finding(part="encoder", state="good", fact=name)


def _model(settings: Settings) -> Finding:
    black = bytes(LORES_BYTES)
    whole = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
    took_ms = []
    with app.open_model(settings) as model:
        for frame in range(MODEL_TRIALS):
            began_s = time.perf_counter()
            model.score(frame + 1, black, LORES_WIDTH, LORES_HEIGHT, whole)
            took_ms.append((time.perf_counter() - began_s) * 1e3)
        ran, instead_of = model.provenance, model.instead_of
    fact = f"{ran.name} {ran.semver} on {ran.accelerator}, {median(took_ms):.1f} ms a frame"
    if instead_of:
        remedy = f"tagger.allow_cpu lets it; mend {instead_of} for speed"
        return Finding(part="model", state="warn", fact=fact, remedy=remedy)
    return Finding(part="model", state="good", fact=fact)


def _card(settings: Settings, status: RecorderStatus | None) -> Finding:
    folder = settings.paths.state_dir
    probe = folder / "state" / "doctor.probe"
    atomic.make_directory(probe.parent)
    began_s = time.perf_counter()
    atomic.write_file(probe, os.urandom(64 * 1024))
    took_ms = (time.perf_counter() - began_s) * 1e3
    probe.unlink()
    room = shutil.disk_usage(folder).free - settings.retention.min_free_bytes
    minutes = max(0.0, room) / (settings.encoder.bitrate_kbps * 125) / 60
    if status is not None and status.card_minutes_left is not None:
        minutes = status.card_minutes_left  # it knows the budget, and what has a receipt
    fact = f"{folder}: {minutes:.0f} min of room, {took_ms:.0f} ms to make 64 KiB durable"
    if minutes < LITTLE_ROOM_MINUTES:
        return Finding(part="card", state="warn", fact=fact, remedy="upload, or use a larger card")
    if took_ms > SLOW_SYNC_MS:
        return Finding(part="card", state="warn", fact=fact, remedy="the card is slow or worn")
    return Finding(part="card", state="good", fact=fact)


def _power(settings: Settings, status: RecorderStatus | None = None) -> Finding:
    # A line belongs to the recorder while it runs.
    source = parts.build_power(settings, with_line=status is None)
    if source is None:
        return Finding(part="power", state="good", fact="no battery is watched (power.driver)")
    now, rule = source.read(), settings.power
    fact = "supply not known" if now.on_mains is None else "on battery"
    fact = "on mains" if now.on_mains else fact
    if now.percent is not None:
        fact += f", {now.percent:.0f} %"
    if now.failing:
        return Finding(part="power", state="bad", fact=f"{fact}, failing", remedy="restore it")
    if now.percent is not None and not now.on_mains and now.percent < rule.warn_below_percent:
        return Finding(part="power", state="warn", fact=fact, remedy="charge the battery")
    if now.on_mains is None and now.percent is None:
        remedy = 'a low battery will not be noticed; without one set power.driver = "none"'
        return Finding(part="power", state="warn", fact=now.problem or fact, remedy=remedy)
    return Finding(part="power", state="good", fact=fact)


def _clock() -> Finding:
    clock = SystemClock()
    shown = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(timespec="seconds")
    if clock.trust() == "trusted":
        return Finding(part="clock", state="good", fact=f"{shown}, synchronised")
    return Finding(
        part="clock",
        state="warn",
        fact=f"{shown}, not synchronised: sheets will say untrusted",
        remedy="let it reach a time server (timedatectl)",
    )


def _custody_key(settings: Settings) -> Finding:
    path = settings.trust.custody_key_file
    keyring = app.load_keyring(settings, SystemClock())
    later = len(keyring.custody_keys) - 1
    fact = f"thumbprint {keyring.signer.kid}" + (f", {later} after the first" if later else "")
    return _private_file("custody key", path, fact)


def _collector_keys(settings: Settings) -> Finding:
    keyring = app.load_keyring(settings, SystemClock())
    trust = keyring.trust
    count = len(trust.recipients)
    fact = f"seals to {count} recipient{'s' * (count > 1)}, receipts by"
    fact += f" {', '.join(trust.receipt_keys)}"
    if trust.seq:
        fact += f", as of keys order {trust.seq}"
    faults = [note.text for note in keyring.take_notes() if note.is_fault]
    if faults:
        return Finding(part="collector key", state="bad", fact=faults[0], remedy="see the log")
    return Finding(part="collector key", state="good", fact=fact)


def _certificate(settings: Settings) -> Finding:
    uplink = settings.uplink
    certificate = _read_certificate(uplink.cert_file)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    if name != settings.device.device_id:
        return Finding(
            part="certificate",
            state="bad",
            fact=f"{uplink.cert_file} is for {name!r}, not for {settings.device.device_id!r}",
            remedy="provision the device again, or mend device.device_id",
        )
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    fact = f"{name}, {left.days} days left"
    if left.total_seconds() <= 0:
        return Finding(part="certificate", state="bad", fact="expired", remedy="renew it")
    if left.days < EXPIRY_WARN_DAYS:
        return Finding(part="certificate", state="warn", fact=fact, remedy="renew it")
    return _private_file("certificate", uplink.key_file, fact)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as exc:
        raise KeyFileError(
            f"{path} cannot be read ({exc.strerror})", remedy="provision the device"
        ) from exc
    except ValueError as exc:
        raise KeyFileError(f"{path} holds no certificate", remedy="provision again") from exc


def _broker(settings: Settings) -> Finding:
    uplink = settings.uplink
    where = f"{uplink.host}:{uplink.port}"
    try:
        context = ssl.create_default_context(cafile=uplink.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(uplink.cert_file, uplink.key_file)
    except (OSError, ssl.SSLError) as exc:
        return Finding(
            part="broker",
            state="bad",
            fact=f"not tried: {uplink.ca_file}, {uplink.cert_file} or {uplink.key_file} cannot be"
            f" used ({exc.strerror or exc})",
            remedy="provision the device again",
        )
    try:
        with (
            socket.create_connection((uplink.host, uplink.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=uplink.host) as secured,
        ):
            version = secured.version()
    except ssl.SSLCertVerificationError as exc:
        return Finding(
            part="broker",
            state="bad",
            fact=f"{where}: its certificate is not trusted ({exc.verify_message})",
            remedy="check uplink.ca_file and uplink.host",
        )
    except (OSError, ssl.SSLError) as exc:
        return Finding(
            part="broker",
            state="warn",
            fact=f"{where}: {exc.strerror or exc}",
            remedy="recording goes on and clips wait; check the network and uplink.host",
        )
    return Finding(part="broker", state="good", fact=f"{where} answers over {version}")


def _network(settings: Settings) -> Finding:
    sensor = parts.build_surroundings(settings)
    sensor.settle(CONNECT_TIMEOUT_S)
    now = sensor.read()
    cost = {True: ", metered", False: "", None: ", perhaps metered"}[now.is_metered]
    fact = f"{now.interface or 'no way'} to the broker{cost}"
    why = why_wait(rules_of(settings.network), now, local_minute(SystemClock()))
    if why:
        return Finding(
            part="network",
            state="warn",
            fact=f"{fact}: clips wait ({why})",
            remedy="as [network] in the settings says; clips go on when that changes",
        )
    return Finding(part="network", state="good", fact=f"{fact}: clips may be sent")


def _private_file(part: str, path: Path, fact: str) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            part=part,
            state="warn",
            fact=f"{path} can be read by others (mode {mode:o})",
            remedy=f"chmod 600 {path}",
        )
    return Finding(part=part, state="good", fact=fact)
