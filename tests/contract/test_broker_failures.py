"""What only a real connection can go wrong with: one clear line each, with the remedy."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from agent.drivers.broker_paho import PahoBroker
from agent.errors import BrokerError
from firmware_tools.dev_fleet import Fleet, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.broker_grounds import connected, disconnected, ours, settled, tls_client


def test_nobody_listening_is_reported_as_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    broker = PahoBroker(host="127.0.0.1", port=port, client_id="cam01", tls=None)
    broker.start()
    assert "connection refused" in disconnected(broker)
    broker.stop()


def test_unknown_host_is_named() -> None:
    broker = PahoBroker(host="no-such-host.invalid", port=1, client_id="cam01", tls=None)
    broker.start()
    assert "unknown host" in disconnected(broker)
    broker.stop()


def test_wrong_ca_is_reported_with_the_remedy(
    fleet: Fleet, broker: LocalBroker, tmp_path: Path
) -> None:
    stranger = make_fleet(tmp_path / "stranger", ["cam01"])
    tls = ours(fleet.device("cam01").tls)
    wrong = msgspec.structs.replace(tls, ca_file=stranger.ca_file)
    client = tls_client(fleet, "cam01", wrong)
    client.start()
    reason = disconnected(client)
    assert "not trusted" in reason
    assert "uplink.ca_file" in reason
    client.stop()


def test_host_name_mismatch_is_reported(fleet: Fleet, broker: LocalBroker) -> None:
    # "127.1" leads to 127.0.0.1 and is in no certificate
    client = tls_client(fleet, "cam01", ours(fleet.device("cam01").tls), host="127.1")
    client.start()
    assert "another host name" in disconnected(client)
    client.stop()


def test_client_certificate_that_the_broker_refuses_is_reported(
    fleet: Fleet, broker: LocalBroker, tmp_path: Path
) -> None:
    stranger = make_fleet(tmp_path / "stranger", ["cam01"])
    tls = ours(stranger.device("cam01").tls)
    client = tls_client(fleet, "cam01", msgspec.structs.replace(tls, ca_file=fleet.ca_file))
    client.start()
    assert "refuses this machine's certificate" in disconnected(client)
    client.stop()


@pytest.mark.parametrize("missing", ["ca_file", "cert_file", "key_file"])
def test_missing_certificate_file_is_an_error_at_start(
    fleet: Fleet, tmp_path: Path, missing: str
) -> None:
    tls = ours(fleet.device("cam01").tls)
    tls = msgspec.structs.replace(tls, **{missing: tmp_path / "absent.pem"})
    with pytest.raises(BrokerError, match=r"absent\.pem"):
        tls_client(fleet, "cam01", tls).start()


def test_key_of_another_certificate_is_an_error_at_start(fleet: Fleet) -> None:
    tls = ours(fleet.device("cam01").tls)
    other = ours(fleet.device("cam02").tls)
    mixed = msgspec.structs.replace(tls, key_file=other.key_file)
    with pytest.raises(BrokerError, match="do not belong together"):
        tls_client(fleet, "cam01", mixed).start()


def test_rubbish_from_the_broker_ends_the_connection_and_is_survived() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        broker = PahoBroker(
            host="127.0.0.1", port=port, client_id="c", tls=None, reconnect_first_s=0.05
        )
        broker.start()
        for _ in range(2):
            link, _peer = server.accept()
            link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
            assert disconnected(broker)
            link.close()
        broker.stop()


def test_publish_that_the_access_list_denies_is_refused_and_the_connection_stays(
    fleet: Fleet, broker: LocalBroker
) -> None:
    client = tls_client(fleet, "cam01", ours(fleet.device("cam01").tls))
    client.start()
    connected(client)
    token = client.publish("sightline/v1/up/cam02/event", b"x")
    assert settled(client, token).outcome == "refused"
    token = client.publish("sightline/v1/up/cam01/event", b"x")
    assert settled(client, token).outcome == "no_subscriber"
    client.stop()
