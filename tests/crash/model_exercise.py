"""Two models pushed, installed and activated, the second found broken and left: in a process of its
own, for strace to watch. Everything is real but the network, the lease and the chip.

python -m tests.crash.model_exercise STATE_DIR REPOSITORY [--fsync all|folders|none]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from agent.drivers.accelerator_fake import FakeAccelerator
from agent.services.model_keeper import ModelKeeper
from agent.services.tagger_model import TaggerModel, load_model
from agent.storage.model_shelf import ModelShelf
from agent.wire.gate_report import GateReport
from firmware_tools.rollouts import push
from firmware_tools.update_repository import UpdateRepository
from tests import tiny_model
from tests.clock import ManualClock
from tests.crash.recorder_program import FSYNC
from tests.crash.trace import mark
from tests.update_rig import RepositorySource, UpdateRig
from tests.updates import MODEL, Calendar, add_bundle, make_repository, release

VERSIONS = (2, 3)
MARK = "trust"


class NoGate:
    def report(self) -> GateReport:
        return GateReport(latency_ms=1.0, latency_limit_ms=66.7)

    def kill(self) -> None: ...


class NoLease:
    """Always standby."""

    socket = None
    state = "held"
    is_held = True

    def poll(self) -> bool:
        return False

    def ask(self) -> None: ...

    def confirm(self, _timeout_ms: int) -> bool:
        return True

    def give_back(self) -> None: ...

    def close(self) -> None: ...


class Stage:
    """A tagger that only remembers."""

    def __init__(self) -> None:
        self.model: TaggerModel | None = None

    def replace(self, model: TaggerModel) -> None:
        self.model = model

    def reload(self) -> None:
        self.model = None


def keeper_of(shelf: ModelShelf, clock: ManualClock) -> ModelKeeper:
    lease: Any = NoLease()
    return ModelKeeper(
        shelf=shelf,
        lease=lease,
        start_gate=lambda _folder: NoGate(),
        load=lambda folder, _gate: load_model(folder, FakeAccelerator(), "0.1.0"),
        latency_limit_ms=lambda _model: 66.7,
        clock=clock,
        os_boot="boot",
    )


def prepare(state_dir: Path, repository: Path) -> None:
    """A card with version 1 active, and an office with the keys."""
    shelf = ModelShelf(state_dir)
    tiny_model.write_bundle(shelf.slot((MODEL, 1)), name=MODEL, version=1)
    shelf.activate((MODEL, 1))
    made = make_repository(repository)
    for version in VERSIONS:
        folder = repository / "sources" / str(version)
        tiny_model.write_bundle(folder, name=MODEL, version=version)
        add_bundle(made, version, folder)


def office(folder: Path) -> UpdateRepository:
    return UpdateRepository(folder, Calendar())


def rig_of(state_dir: Path, repository: Path) -> UpdateRig:
    return UpdateRig(state_dir, (repository / "root.json").read_bytes())


def timestamp_version(folder: Path) -> int:
    version: int = json.loads((folder / "tuf" / "timestamp.json").read_bytes())["signed"]["version"]
    return version


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--fsync", choices=FSYNC, default="all")
    options = parser.parse_args()
    fsync = FSYNC[options.fsync]
    rig, stage = rig_of(options.state_dir, options.repository), Stage()
    shelf = ModelShelf(options.state_dir, fsync=fsync)
    keeper = keeper_of(shelf, rig.clock)
    for version in VERSIONS:
        push(office(options.repository), MODEL, version)
        release(office(options.repository))
        rig.run(RepositorySource(office(options.repository)), fsync=fsync)
        mark(options.repository, f"{MARK}:{timestamp_version(options.state_dir)}")
        while shelf.linked("active") != (MODEL, version) or stage.model is None:
            keeper.step(stage)
            rig.clock.advance(1.0)
        stage.model.close()
        stage.model = None
    for _ in range(2):
        keeper.broken(stage, "not a finite number")
    keeper.close()


if __name__ == "__main__":
    main()
