"""For all tests: a throw-away fleet, a real Mosquitto that serves it, and whose turn it is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from firmware_tools.dev_fleet import Fleet, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.turns import turn

# Speed is measured by `make bench`; a busy machine proves nothing of a rule.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """One test, with the fixtures it sets up and takes down."""
    alone = item.get_closest_marker("alone") is not None
    with turn(item.config.rootpath / "build" / "turns", alone=alone):
        return (yield)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Fresh keys, certificates and broker configuration for cam01, cam02 and the collector."""
    return make_fleet(tmp_path / "fleet", ["cam01", "cam02"])


@pytest.fixture
def broker(fleet: Fleet) -> Iterator[LocalBroker]:
    """A real Mosquitto for `fleet`, accepting TLS; a test may kill it and start it again."""
    with LocalBroker(fleet) as running:
        yield running
