"""The camera's keys and certificate, and whom it seals to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent import app
from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.drivers.clock_system import SystemClock
from agent.errors import KeyFileError

EXPIRY_WARN_DAYS = 14


def check_custody_key(visit: Visit) -> Finding:
    path = visit.settings.trust.custody_key_file
    keyring = app.load_keyring(visit.settings, SystemClock())
    later = len(keyring.custody_keys) - 1
    fact = f"thumbprint {keyring.signer.kid}" + (f", {later} after the first" if later else "")
    return _private_file("custody key", path, fact)


def check_collector_key(visit: Visit) -> Finding:
    keyring = app.load_keyring(visit.settings, SystemClock())
    trust = keyring.trust
    count = len(trust.recipients)
    fact = f"seals to {count} recipient{'s' * (count > 1)}, receipts by"
    fact += f" {', '.join(trust.receipt_keys)}"
    if trust.seq:
        fact += f", as of keys order {trust.seq}"
    faults = [note.text for note in keyring.take_notes() if note.is_fault]
    if faults:
        return bad("collector key", faults[0], "see the log")
    return good("collector key", fact)


def check_certificate(visit: Visit) -> Finding:
    uplink, device_id = visit.settings.uplink, visit.settings.device.device_id
    certificate = _read_certificate(uplink.cert_file)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    if name != device_id:
        fact = f"{uplink.cert_file} is for {name!r}, not for {device_id!r}"
        return bad("certificate", fact, "provision the device again, or mend device.device_id")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    fact = f"{name}, {left.days} days left"
    if left.total_seconds() <= 0:
        return bad("certificate", "expired", "renew it")
    if left.days < EXPIRY_WARN_DAYS:
        return warn("certificate", fact, "renew it")
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


def _private_file(part: str, path: Path, fact: str) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return warn(part, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return good(part, fact)
