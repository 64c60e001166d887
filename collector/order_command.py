"""`sightline-collector order`: the admin's word to cameras, signed here and passed on by `run`."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key, load_public_key, load_recipients
from agent.crypto.trust import public_text
from agent.errors import OrderError
from agent.wire.declaration import Declaration
from collector.config import CollectorSettings
from collector.orders import ORDERS_DIR, KeyChange, OrderDesk
from collector.unsealing import load_identities

_DAY_NS = 86_400_000_000_000
_DAYS = 30
_PLAN_DAYS = 1
_PSEUDONYM = "as `sightline card pseudonym` gives it"


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
    keys.add_argument(
        "--card-key",
        type=Path,
        action="append",
        metavar="PEM",
        help="the public key whose scenario cards count from now on; repeat for several",
    )
    plan = kinds.add_parser("plan", help="what a camera's sessions are declared to be")
    _add_plan(plan)
    for parser, days in ((request, _DAYS), (keys, _DAYS), (plan, _PLAN_DAYS)):
        parser.add_argument("--config", type=Path, required=True, metavar="FILE")
        parser.add_argument(
            "--days", type=float, default=days, help=f"expires after this long ({days})"
        )


def _add_plan(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("devices", nargs="*", metavar="DEVICE")
    plan.add_argument("--all", action="store_true", help="all of keys.devices_dir")
    plan.add_argument("--withdraw", action="store_true", help="take the plan back")
    for word in ("scenario", "environment", "site"):
        plan.add_argument(f"--{word}", default="", metavar="WORD")
    plan.add_argument("--trainer", default="", metavar="PSEUDONYM", help=_PSEUDONYM)
    plan.add_argument("--consent", action="append", default=[], metavar="PSEUDONYM")


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
    devices = _devices(options, settings)
    if options.order == "plan":
        declared = _declared(options)
        said_of_it = ", ".join(f"{each.key} {each.value}" for each in declared.labels(""))
        return [
            f"plan order {desk.plan(device_id, declared, life_ns).seq} for {device_id}:"
            f" {said_of_it or 'taken back'}"
            for device_id in devices
        ]
    change = _change(options, settings)
    said = []
    for device_id in devices:
        keys = desk.keys(device_id, change, life_ns, new_chain=options.new_chain)
        said.append(
            f"keys order {keys.seq} for {device_id}: {len(keys.recipients)} recipients,"
            f" {len(keys.receipt_keys)} receipt keys, custody key {keys.custody_generation}"
        )
    return said


def _devices(options: argparse.Namespace, settings: CollectorSettings) -> list[str]:
    devices: list[str] = options.devices
    if options.all:
        devices = sorted(p.name for p in settings.keys.devices_dir.iterdir() if p.is_dir())
    if not devices:
        raise OrderError("no device is named", remedy="name devices, or give --all")
    for device_id in devices:
        _known(settings, device_id)
    return devices


def _declared(options: argparse.Namespace) -> Declaration:
    words = {key: getattr(options, key) for key in ("scenario", "environment", "site", "trainer")}
    try:
        declared = msgspec.convert({**words, "consents": options.consent}, Declaration)
    except msgspec.ValidationError as exc:
        name = re.sub(r"[^a-z].*", "", str(exc).rpartition("$.")[2]).removesuffix("s")
        remedy = "up to 32 small letters, digits, _ and -"
        if name in ("trainer", "consent"):
            remedy = "no names in a plan: give what `sightline card pseudonym` says"
        raise OrderError(f"--{name}: this cannot be in a plan", remedy=remedy) from exc
    if declared.says_nothing != options.withdraw:
        raise OrderError(
            "a plan declares something, or --withdraw takes it back", remedy="give one of the two"
        )
    return declared


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
    card_keys = None
    if options.card_key is not None:
        loaded = [load_public_key(path, "key of scenario cards") for path in options.card_key]
        card_keys = tuple(public_text(key) for key in loaded)
    keys = [load_public_key(path, "new receipt key") for path in options.add_receipt_key]
    return KeyChange(
        recipients=recipients,
        add_receipt_keys=tuple(public_text(key) for key in keys),
        retire=tuple(options.retire),
        revoke=tuple(options.revoke),
        new_custody_key=options.new_custody_key,
        card_keys=card_keys,
    )


def _known(settings: CollectorSettings, device_id: str) -> None:
    folder = settings.keys.devices_dir / device_id
    if Path(device_id).name != device_id or not folder.is_dir():
        raise OrderError(
            f"no device {device_id[:60]!r} in {settings.keys.devices_dir}",
            remedy="check the name, or provision it first",
        )
