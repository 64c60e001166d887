"""The collector's settings from one TOML file, checked as the agent's are (see agent.config)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from agent.config import Id, Port, Section, load_toml
from agent.errors import ConfigError
from agent.wire.transfer import MAX_PART_BYTES, MIN_PART_BYTES

Mebi = 1024 * 1024
PartSize = Annotated[int, msgspec.Meta(ge=MIN_PART_BYTES, le=MAX_PART_BYTES)]


class Identity(Section, frozen=True):
    """`name` is the MQTT client id (the CN of the certificate) and stands in every receipt.

    `shared_group`: several collectors over one `store_dir` share the load; each needs a name of
    its own. On the broker the group's name goes on with a secret word that lies in `store_dir`,
    so that no device can join it. A clip that would leave less than `min_free_bytes` on the disk is
    asked for later.
    """

    name: Id
    store_dir: Path
    shared_group: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,40}$")] = ""
    min_free_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 256 * Mebi


class BrokerLink(Section, frozen=True):
    """MQTT v5 over mutual TLS 1.3."""

    host: str = "localhost"
    port: Port = 8883
    ca_file: Path = Path("tls/ca.pem")
    cert_file: Path = Path("tls/collector.pem")
    key_file: Path = Path("tls/collector.key")
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30


class Keys(Section, frozen=True):
    """What opens footage, what signs receipts, and whose custody lines are believed.

    `devices_dir` holds `<device_id>/custody-*.pem`: all public keys a device ever had.
    """

    age_identity_files: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1)] = (
        Path("age-identity.txt"),
    )
    receipt_key_file: Path = Path("receipt.key")
    devices_dir: Path = Path("devices")


class Transfer(Section, frozen=True):
    """Sizes in bytes. `window_budget_bytes` bounds the windows of all active cameras together:
    keep it under 0.8 of what the broker queues for this client."""

    window_bytes: Annotated[int, msgspec.Meta(ge=MIN_PART_BYTES, le=64 * Mebi)] = 4 * Mebi
    window_budget_bytes: Annotated[int, msgspec.Meta(ge=MAX_PART_BYTES, le=1 << 34)] = 64 * Mebi
    part_bytes_min: PartSize = MIN_PART_BYTES
    part_bytes_max: PartSize = MAX_PART_BYTES
    open_clips_per_device: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    kept_clips_per_device: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1024


class CollectorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the collector is told."""

    collector: Identity
    broker: BrokerLink = BrokerLink()
    keys: Keys = Keys()
    transfer: Transfer = Transfer()


def load_collector_settings(file: Path) -> CollectorSettings:
    """Read and check `file`; relative paths are relative to its folder. Raises ConfigError."""
    settings = load_toml(file, CollectorSettings, remedy="run `sightline-collector check-config`")
    if settings.transfer.part_bytes_min > settings.transfer.part_bytes_max:
        raise ConfigError(
            str(file),
            "transfer.part_bytes_min",
            "larger than transfer.part_bytes_max",
            remedy="lower it",
        )
    return settings
