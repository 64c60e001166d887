"""What a Mosquitto 2.0 must be told to serve a fleet: the configuration and the access list.

Works with 2.0.11 (Debian 12), 2.0.18 (Ubuntu 24.04) and 2.0.21 (Debian 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.wire.codec import MAX_MESSAGE_BYTES
from agent.wire.topics import DEPOT_ALL, ROOT, UP_STATUS, UPDATE_METADATA, depot_of
from agent.wire.transfer import MAX_PART_BYTES, MIN_PART_BYTES

MAX_PAYLOAD_BYTES = max(MAX_MESSAGE_BYTES, MAX_PART_BYTES)
# Topic, properties and fixed header of one PUBLISH come on top of the payload.
MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 16 * 1024
MAX_INFLIGHT_MESSAGES = 64
# What waits for one client (the collector). More is dropped without a word, so the collector keeps
# the sum of its windows (64 MiB unless told otherwise) under 0.8 of both.
MAX_QUEUED_BYTES = 128 * 1024 * 1024
MAX_QUEUED_MESSAGES = MAX_QUEUED_BYTES // MIN_PART_BYTES


class BrokerFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one broker; `conf_file` names all the others."""

    conf_file: Path
    acl_file: Path
    ca_file: Path
    cert_file: Path
    key_file: Path
    log_file: Path


def access_list(collectors: list[str], admins: Sequence[str] = ()) -> str:
    """The ACL: a device writes below its own `up`, reads below its own `down` and the metadata of
    model updates, and nothing else; a collector reads every `up` and writes every `down`; an admin
    writes into the depot under its own name, and reads how the cameras are.

    `%u` is the username: the CN of the client's certificate. Mosquitto 2.0 lets anyone subscribe
    and checks the right to read at each delivery; it also does so for `$share` subscriptions, and
    what it had dealt to a client that may not read it is gone. No line here can forbid to join
    (only the dynamic-security plugin sees subscriptions), so the collectors keep their group's
    name secret: nobody joins a group that he cannot name.
    """
    lines = [
        f"pattern write {ROOT}/up/%u/#",
        f"pattern read {ROOT}/down/%u/#",
        f"pattern read {UPDATE_METADATA}",
    ]
    for name in collectors:
        lines += ["", f"user {name}", f"topic read {ROOT}/up/#", f"topic write {ROOT}/down/#"]
        lines += [f"topic read {DEPOT_ALL}", f"topic write {UPDATE_METADATA}"]
    for name in admins:
        lines += ["", f"user {name}", f"topic write {depot_of(name)}", f"topic read {UP_STATUS}"]
    return "\n".join(lines) + "\n"


def configuration(files: BrokerFiles, port: int) -> str:
    """mosquitto.conf for a broker on 127.0.0.1:`port`, TLS 1.3 with client certificates only."""
    return f"""\
# Made by firmware_tools.dev_fleet for a throw-away fleet on this machine.

# Started by root, Mosquitto changes to the user `mosquitto` before it reads its files, and that
# user may not read these keys (0600). `user root` keeps it the one who started it; started by
# anyone else, Mosquitto ignores the line.
user root

listener {port} 127.0.0.1
cafile {files.ca_file}
certfile {files.cert_file}
keyfile {files.key_file}
tls_version tlsv1.3
require_certificate true
allow_anonymous false

# The CN of the certificate is the username; the username is the client id: so that no device can
# take over another's session.
use_identity_as_username true
use_username_as_clientid true
acl_file {files.acl_file}

# Without this, Nagle's algorithm holds small packets back and a transfer slows down many times.
set_tcp_nodelay true

# MQTT v5 clients are told this limit when they connect; a larger packet ends the connection.
# (No message_size_limit: Mosquitto 2.0.11 answers it with reason 0x93, which MQTT does not allow in
# a PUBACK, and paho takes that for a malformed packet and sends the same again for ever.)
max_packet_size {MAX_PACKET_BYTES}
max_inflight_messages {MAX_INFLIGHT_MESSAGES}
max_queued_messages {MAX_QUEUED_MESSAGES}
max_queued_bytes {MAX_QUEUED_BYTES}

# Nothing is kept over a restart: the collector's word, not the broker's, says what has arrived.
persistence false

log_dest file {files.log_file}
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""
