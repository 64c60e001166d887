"""`sightline-collector order`: the admin's word to cameras, signed here and passed on by `run`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key, load_public_key, load_recipients
from agent.crypto.trust import public_text
from agent.errors import OrderError
from collector.config import CollectorSettings
from collector.orders import ORDERS_DIR, KeyChange, OrderDesk
from collector.unsealing import load_identities

_DAY_NS = 86_400_000_000_000
_DAYS = 30


def add_order_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    order = commands.add_parser("order", help="a signed order to cameras")
    kinds = order.add_subparsers(dest="order", required=True, metavar="KIND")
    request = kinds.add_parser("request", help="send these clips before all others")
    request.add_argument("device", metavar="DEVICE")
    request.add_argument("clips", nargs="*", metavar="CLIP", help="none: withdraw the request")
    keys = kinds.add_parser("keys", help="change the keys that cameras trust")
    keys.add_argument("devices", nargs="*", metavar="DEVICE")
    keys.add_argument("--all", action="store_true", help="all of keys.devices_dir")
    keys.add_argument("--recipients", type=Path, metavar="FILE", help="who can open new clips")
    keys.add_argument(
        "--add-receipt-key",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help="a further public key that signs receipts and orders",
    )
    keys.add_argument(
        "--retire",
        action="append",
        default=[],
        metavar="KID",
        help="this receipt key signs no more; its old receipts count",
    )
    keys.add_argument(
        "--revoke",
        action="append",
        default=[],
        metavar="KID",
        help="this receipt key was stolen; nothing by it counts",
    )
    keys.add_argument("--new-custody-key", action="store_true", help="let cameras make a new one")
    keys.add_argument("--new-chain", action="store_true", help="the camera was provisioned (again)")
    for parser in (request, keys):
        parser.add_argument("--config", type=Path, required=True, metavar="FILE")
        parser.add_argument(
            "--days", type=float, default=_DAYS, help=f"expires after this long ({_DAYS})"
        )


def issue(
    options: argparse.Namespace,
    settings: CollectorSettings,
    now_wall_ns: Callable[[], int] = time.time_ns,
) -> list[str]:
    """Carry out the command: one line for each order. Raises OrderError, KeyFileError."""
    signer = Signer(load_private_key(settings.keys.receipt_key_file, "collector's receipt key"))
    desk = OrderDesk(settings.collector.store_dir / ORDERS_DIR, signer, now_wall_ns())
    life_ns = int(options.days * _DAY_NS)
    if options.order == "request":
        _known(settings, options.device)
        order = desk.request(options.device, options.clips, life_ns)
        wish = f"{len(order.clip_ids)} clips first" if order.clip_ids else "no clip first"
        return [f"request order {order.seq} for {order.device_id}: {wish}"]
    devices = options.devices
    if options.all:
        devices = sorted(p.name for p in settings.keys.devices_dir.iterdir() if p.is_dir())
    if not devices:
        raise OrderError("no device is named", remedy="name devices, or give --all")
    change = _change(options, settings)
    said = []
    for device_id in devices:
        _known(settings, device_id)
    for device_id in devices:
        keys = desk.keys(device_id, change, life_ns, new_chain=options.new_chain)
        said.append(
            f"keys order {keys.seq} for {device_id}: {len(keys.recipients)} recipients,"
            f" {len(keys.receipt_keys)} receipt keys, custody key {keys.custody_generation}"
        )
    return said


def _change(options: argparse.Namespace, settings: CollectorSettings) -> KeyChange:
    recipients = None
    if options.recipients is not None:
        recipients = tuple(str(each) for each in load_recipients(options.recipients))
        held = {str(i.to_public()) for i in load_identities(settings.keys.age_identity_files)}
        if not held & set(recipients):
            raise OrderError(
                f"{options.recipients} names no key that this collector holds: it could open"
                " nothing that comes",
                remedy="add the new private key to keys.age_identity_files first",
            )
    keys = [load_public_key(path, "new receipt key") for path in options.add_receipt_key]
    return KeyChange(
        recipients=recipients,
        add_receipt_keys=tuple(public_text(key) for key in keys),
        retire=tuple(options.retire),
        revoke=tuple(options.revoke),
        new_custody_key=options.new_custody_key,
    )


def _known(settings: CollectorSettings, device_id: str) -> None:
    folder = settings.keys.devices_dir / device_id
    if Path(device_id).name != device_id or not folder.is_dir():
        raise OrderError(
            f"no device {device_id[:60]!r} in {settings.keys.devices_dir}",
            remedy="check the name, or provision it first",
        )
