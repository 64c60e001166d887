"""How an admin reaches the broker: `admin.toml`, by default in the update repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from agent.config import Id, Port, Section, load_toml
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles

ADMIN_FILE = "admin.toml"


class Admin(Section, frozen=True):
    """`name`: the CN of the certificate."""

    name: Id


class Link(Section, frozen=True):
    """MQTT v5 over mutual TLS 1.3."""

    host: str = "localhost"
    port: Port = 8883
    ca_file: Path = Path("tls/ca.pem")
    cert_file: Path = Path("tls/admin.pem")
    key_file: Path = Path("tls/admin.key")
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the admin's tools are told."""

    admin: Admin
    broker: Link = Link()


def load_admin(repository: Path) -> AdminSettings:
    """Raises ConfigError."""
    return load_toml(
        repository / ADMIN_FILE, AdminSettings, remedy="give [admin] name and [broker] host, port"
    )


def admin_broker(settings: AdminSettings) -> PahoBroker:
    """Not started yet."""
    link = settings.broker
    return PahoBroker(
        host=link.host,
        port=link.port,
        client_id=settings.admin.name,
        tls=TlsFiles(ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file),
        keepalive_s=link.keepalive_s,
    )
