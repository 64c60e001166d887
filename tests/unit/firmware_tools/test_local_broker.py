"""Starting and stopping a real Mosquitto, and what is said when that cannot be done."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agent.errors import BrokerError
from firmware_tools import local_broker
from firmware_tools.dev_fleet import Fleet, free_port, make_fleet
from firmware_tools.local_broker import LocalBroker, find_mosquitto


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_broker_listens_while_inside_and_is_gone_after(fleet: Fleet) -> None:
    with LocalBroker(fleet) as broker:
        assert _accepts(fleet.port)
        pid = broker.pid
        assert pid is not None
    assert not _accepts(fleet.port)
    assert not _alive(pid)


def test_killed_broker_comes_back_on_the_same_port(broker: LocalBroker, fleet: Fleet) -> None:
    first = broker.pid
    broker.kill()
    assert not broker.is_running
    assert broker.pid is None
    broker.start()
    assert broker.is_running
    assert broker.pid != first
    assert _accepts(fleet.port)


def test_starting_twice_and_stopping_twice_change_nothing(fleet: Fleet) -> None:
    broker = LocalBroker(fleet)
    broker.stop()
    broker.start()
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    broker.stop()
    broker.stop()
    assert not broker.is_running


def test_missing_mosquitto_names_the_package_to_install(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="sudo apt-get install mosquitto"):
        find_mosquitto(str(tmp_path))


def test_port_in_use_gives_mosquittos_own_reason(tmp_path: Path) -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        broker = LocalBroker(make_fleet(tmp_path / "f", port=port))
        with pytest.raises(BrokerError, match="Address already in use"):
            broker.start()
    assert not broker.is_running


def test_damaged_configuration_gives_mosquittos_own_reason(fleet: Fleet) -> None:
    fleet.broker.conf_file.write_text("no_such_setting 1\n")
    with pytest.raises(BrokerError, match=r"Mosquitto ended at once.*Error"):
        LocalBroker(fleet).start()


def test_command_line_on_a_folder_without_a_fleet_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local_broker.main([str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
