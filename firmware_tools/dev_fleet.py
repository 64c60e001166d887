"""A throw-away fleet in one folder: authority, broker, collector and devices, each with its keys.

For demos, tests and trials on one machine. Nothing here is meant to outlive the folder: the
authority's key lies beside what it signed.

    DIR/ca/              ca.pem  ca.key
    DIR/broker/          server.pem  server.key  mosquitto.conf  acl  mosquitto.log
    DIR/collector/       tls/{ca.pem,collector.pem,collector.key}  receipt.key  receipt.pub.pem
                         age-identity.txt  recipients.txt  devices/<device_id>/custody-<kid>.pem
    DIR/devices/<id>/    tls/{ca.pem,device.pem,device.key}  custody.key  recipients.txt
                         receipt.pub.pem     (as /etc/sightline on a camera)
    DIR/admin/           tls/{ca.pem,admin.pem,admin.key}
"""

from __future__ import annotations

import argparse
import re
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import ID_PATTERN
from agent.crypto.keys import thumbprint
from agent.errors import AgentError, KeyFileError
from agent.storage import atomic
from firmware_tools.dev_certificates import Authority, Issued, Now, utc_now
from firmware_tools.mosquitto_conf import BrokerFiles, access_list, configuration

COLLECTOR_ID = "collector-1"
ADMIN_ID = "admin-1"
# Below Linux's range for outgoing connections (32768 and up): a broker that is killed and started
# again on its port must not find it taken by somebody's connection.
PORT_RANGE = range(20_000, 32_000)
_PUBLIC, _PRIVATE = 0o644, 0o600
_FLEET_FILE = "fleet.json"


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One client's side of mutual TLS, PEM."""

    ca_file: Path
    cert_file: Path
    key_file: Path


class DeviceFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What a provisioned camera holds."""

    device_id: str
    directory: Path
    tls: TlsFiles
    custody_key_file: Path
    custody_kid: str
    recipients_file: Path
    receipt_key_file: Path


class CollectorFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What the collection server holds. `devices_dir` holds `<device_id>/custody-<kid>.pem`."""

    collector_id: str
    directory: Path
    tls: TlsFiles
    receipt_private_key_file: Path
    receipt_public_key_file: Path
    age_identity_file: Path
    recipients_file: Path
    devices_dir: Path


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """All paths of one fleet; its broker listens on `host`:`port`.

    `more_collectors`: certificates by name for others of the collector's group, which share its
    keys."""

    directory: Path
    host: str
    port: int
    ca_file: Path
    broker: BrokerFiles
    collector: CollectorFiles
    more_collectors: dict[str, TlsFiles] = {}
    admin: TlsFiles
    devices: tuple[DeviceFiles, ...]

    def device(self, device_id: str) -> DeviceFiles:
        """Raises KeyFileError when the fleet has no such device."""
        for files in self.devices:
            if files.device_id == device_id:
                return files
        raise KeyFileError(
            f"fleet {self.directory} has no device {device_id!r}",
            remedy="make the fleet with --device for each",
        )


def free_port(choose: Callable[[Sequence[int]], int] = secrets.choice) -> int:
    """A TCP port that is free on 127.0.0.1 now. Raises KeyFileError when 100 tries found none."""
    for _ in range(100):
        port = choose(PORT_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise KeyFileError("no free TCP port on 127.0.0.1", remedy="stop some servers, or pass --port")


def make_fleet(
    directory: Path,
    devices: Sequence[str] = ("cam01",),
    *,
    port: int = 0,
    more_collectors: Sequence[str] = (),
    now: Now = utc_now,
) -> Fleet:
    """Make all keys, certificates and the broker's configuration in `directory`.

    `directory` must be missing or empty; `port` 0 takes a free one. Private files are mode 0600.
    Raises KeyFileError: a bad or repeated device id, the folder not empty or not writable.
    """
    directory = directory.absolute()
    _check_ids([*devices, *more_collectors])
    try:
        if directory.exists() and any(directory.iterdir()):
            raise KeyFileError(
                f"fleet folder {directory} is not empty", remedy="give a new folder, or delete it"
            )
        return _make(directory, devices, more_collectors, port or free_port(), now)
    except OSError as exc:
        raise KeyFileError(
            f"fleet folder {directory} cannot be written ({exc.strerror})",
            remedy="give another folder",
        ) from exc


def open_fleet(directory: Path) -> Fleet:
    """The fleet that `make_fleet` made in `directory`. Raises KeyFileError when there is none."""
    path = directory.absolute() / _FLEET_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Fleet, dec_hook=_path_from_text)
    except (OSError, msgspec.DecodeError) as exc:
        raise KeyFileError(
            f"{directory} holds no fleet ({exc})",
            remedy=f"make one: python -m firmware_tools.dev_fleet {directory}",
        ) from exc


def _make(
    directory: Path, devices: Sequence[str], more_collectors: Sequence[str], port: int, now: Now
) -> Fleet:
    authority = Authority("Sightline throw-away CA", now=now)
    ca_file = directory / "ca" / "ca.pem"
    _write(ca_file, authority.issued.certificate, _PUBLIC)
    _write(directory / "ca" / "ca.key", authority.issued.private_key, _PRIVATE)
    broker = _make_broker(directory / "broker", authority, ca_file, port, more_collectors)
    collector = _make_collector(directory / "collector", authority)
    fleet = Fleet(
        directory=directory,
        host="localhost",
        port=port,
        ca_file=ca_file,
        broker=broker,
        collector=collector,
        more_collectors={
            name: _write_tls(
                collector.directory / name / "tls", "collector", authority, authority.client(name)
            )
            for name in more_collectors
        },
        admin=_write_tls(
            directory / "admin" / "tls", "admin", authority, authority.client(ADMIN_ID)
        ),
        devices=tuple(
            _make_device(directory / "devices" / name, name, authority, collector)
            for name in devices
        ),
    )
    _write(directory / _FLEET_FILE, msgspec.json.encode(fleet, enc_hook=str), _PUBLIC)
    return fleet


def _make_broker(
    folder: Path, authority: Authority, ca_file: Path, port: int, more_collectors: Sequence[str]
) -> BrokerFiles:
    files = BrokerFiles(
        conf_file=folder / "mosquitto.conf",
        acl_file=folder / "acl",
        ca_file=ca_file,
        cert_file=folder / "server.pem",
        key_file=folder / "server.key",
        log_file=folder / "mosquitto.log",
    )
    server = authority.server("localhost", ["localhost"], ["127.0.0.1", "::1"])
    _write(files.cert_file, server.certificate, _PUBLIC)
    _write(files.key_file, server.private_key, _PRIVATE)
    acl = access_list([COLLECTOR_ID, *more_collectors], [ADMIN_ID])
    _write(files.acl_file, acl.encode(), _PRIVATE)
    _write(files.conf_file, configuration(files, port).encode(), _PRIVATE)
    return files


def _make_collector(folder: Path, authority: Authority) -> CollectorFiles:
    files = CollectorFiles(
        collector_id=COLLECTOR_ID,
        directory=folder,
        tls=_write_tls(folder / "tls", "collector", authority, authority.client(COLLECTOR_ID)),
        receipt_private_key_file=folder / "receipt.key",
        receipt_public_key_file=folder / "receipt.pub.pem",
        age_identity_file=folder / "age-identity.txt",
        recipients_file=folder / "recipients.txt",
        devices_dir=folder / "devices",
    )
    receipt_key = Ed25519PrivateKey.generate()
    _write(files.receipt_private_key_file, _private_pem(receipt_key), _PRIVATE)
    _write(files.receipt_public_key_file, _public_pem(receipt_key), _PUBLIC)
    identity = pyrage.x25519.Identity.generate()
    recipient = identity.to_public()
    # The format of Debian's age-keygen, so that plain `age -d -i` opens what was sealed.
    _write(files.age_identity_file, f"# public key: {recipient}\n{identity}\n".encode(), _PRIVATE)
    _write(files.recipients_file, f"# {COLLECTOR_ID}\n{recipient}\n".encode(), _PUBLIC)
    return files


def _make_device(
    folder: Path, device_id: str, authority: Authority, collector: CollectorFiles
) -> DeviceFiles:
    custody_key = Ed25519PrivateKey.generate()
    files = DeviceFiles(
        device_id=device_id,
        directory=folder,
        tls=_write_tls(folder / "tls", "device", authority, authority.client(device_id)),
        custody_key_file=folder / "custody.key",
        custody_kid=thumbprint(custody_key.public_key()),
        recipients_file=folder / "recipients.txt",
        receipt_key_file=folder / "receipt.pub.pem",
    )
    _write(files.custody_key_file, _private_pem(custody_key), _PRIVATE)
    _write(files.recipients_file, collector.recipients_file.read_bytes(), _PUBLIC)
    _write(files.receipt_key_file, collector.receipt_public_key_file.read_bytes(), _PUBLIC)
    known = collector.devices_dir / device_id / f"custody-{files.custody_kid}.pem"
    _write(known, _public_pem(custody_key), _PUBLIC)
    return files


def _write_tls(folder: Path, stem: str, authority: Authority, issued: Issued) -> TlsFiles:
    files = TlsFiles(
        ca_file=folder / "ca.pem",
        cert_file=folder / f"{stem}.pem",
        key_file=folder / f"{stem}.key",
    )
    _write(files.ca_file, authority.issued.certificate, _PUBLIC)
    _write(files.cert_file, issued.certificate, _PUBLIC)
    _write(files.key_file, issued.private_key, _PRIVATE)
    return files


def _write(path: Path, content: bytes, mode: int) -> None:
    atomic.make_directory(path.parent)
    atomic.write_file(path, content, mode=mode)


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _path_from_text(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"no path: {value!r}")


def _check_ids(devices: Sequence[str]) -> None:
    for position, name in enumerate(devices):
        if not re.fullmatch(ID_PATTERN, name) or name in (COLLECTOR_ID, ADMIN_ID):
            raise KeyFileError(
                f"device id {name!r} cannot be used",
                remedy="1 to 40 letters, digits, _ and -, not the collector's or admin's name",
            )
        if name in devices[:position]:
            raise KeyFileError(f"device id {name!r} is given twice", remedy="name each once")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_tools.dev_fleet",
        description="Make a throw-away fleet: keys, certificates and a broker configuration.",
    )
    parser.add_argument("directory", type=Path, help="a new or empty folder")
    parser.add_argument("--device", action="append", metavar="ID", help="repeat for more (cam01)")
    parser.add_argument("--port", type=int, default=0, help="the broker's port (a free one)")
    options = parser.parse_args(arguments)
    try:
        fleet = make_fleet(options.directory, options.device or ["cam01"], port=options.port)
    except AgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    names = ", ".join(files.device_id for files in fleet.devices)
    print(f"fleet of {names} in {fleet.directory}, broker on {fleet.host}:{fleet.port}")
    print(f"start its broker: python -m firmware_tools.local_broker {fleet.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
