"""The broker's limits leave room for what camera and collector send by default."""

from __future__ import annotations

from pathlib import Path

from agent.wire.codec import MAX_MESSAGE_BYTES
from agent.wire.transfer import MAX_PART_BYTES, MIN_PART_BYTES
from collector.config import Transfer
from firmware_tools import mosquitto_conf
from firmware_tools.mosquitto_conf import BrokerFiles, access_list, configuration

FILES = BrokerFiles(
    conf_file=Path("/f/conf"),
    acl_file=Path("/f/acl"),
    ca_file=Path("/f/ca"),
    cert_file=Path("/f/cert"),
    key_file=Path("/f/key"),
    log_file=Path("/f/log"),
)


def test_queue_of_one_client_holds_all_windows_the_collector_grants() -> None:
    budget = Transfer().window_budget_bytes
    assert budget <= 0.8 * mosquitto_conf.MAX_QUEUED_BYTES
    assert budget // MIN_PART_BYTES <= 0.8 * mosquitto_conf.MAX_QUEUED_MESSAGES


def test_packet_limit_has_room_for_the_largest_message_and_its_topic() -> None:
    assert max(MAX_PART_BYTES, MAX_MESSAGE_BYTES) + 1024 <= mosquitto_conf.MAX_PACKET_BYTES


def test_every_setting_is_given_once_and_the_listener_is_on_loopback() -> None:
    lines = configuration(FILES, 20_001).splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    keys = [line.split()[0] for line in settings]
    assert "listener 20001 127.0.0.1" in settings
    assert {key for key in keys if keys.count(key) > 1} == {"log_type"}


def test_access_list_names_each_collector_and_no_device() -> None:
    text = access_list(["collector-1", "collector-2"])
    assert [line for line in text.splitlines() if line.startswith("user ")] == [
        "user collector-1",
        "user collector-2",
    ]
    assert "cam" not in text
