"""A model pushed to three cameras by commands: real programs, a real Mosquitto with TLS and ACL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.storage.model_shelf import ModelShelf, Outcome
from firmware_tools.dev_fleet import ADMIN_ID
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from firmware_tools.sightline import main as sightline
from tests.model_bundles import write_shipped
from tests.scenario.conftest import MakeStack
from tests.scenario.evidence import stored_clips
from tests.scenario.waiting import wait_for_frames, wait_until_sent
from tests.updates import MODEL

pytestmark = pytest.mark.scenario
OTHERS = {"cam02": "hailo", "cam03": "edgetpu"}


class Office:
    """The admin's desk: a repository, and the command line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def run(self, *words: str) -> str:
        """What the command said. It must succeed."""
        code = sightline([*words, "--repository", str(self.folder)])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out

    def meet(self, stack: LocalStack) -> None:
        """Write down how to reach the broker."""
        tls = stack.fleet.admin
        (self.folder / "admin.toml").write_text(
            f'[admin]\nname = "{ADMIN_ID}"\n[broker]\nport = {stack.fleet.port}\n'
            f'ca_file = "{tls.ca_file}"\ncert_file = "{tls.cert_file}"\n'
            f'key_file = "{tls.key_file}"\n'
        )

    def pack(self, version: int) -> None:
        source = self.folder / "sources" / str(version)
        write_shipped(source, version)
        self.run("model", "pack", str(source))


def install(state_dir: Path) -> None:
    """Version 1 in the active slot, as from the image."""
    shelf = ModelShelf(state_dir)
    shelf.slot((MODEL, 1)).parent.mkdir(parents=True)
    write_shipped(shelf.slot((MODEL, 1)), 1)
    shelf.activate((MODEL, 1))


@contextmanager
def uplink_of(stack: LocalStack, device_id: str, hardware: str, root: Path) -> Iterator[Path]:
    """Another camera's uplink program; its state directory."""
    files = stack.fleet.device(device_id)
    folder = stack.folder / device_id
    install(folder / "state")
    config = folder / "agent.toml"
    config.write_text(
        f'[device]\ndevice_id = "{device_id}"\nkind = "desk"\nhardware = "{hardware}"\n'
        f'[camera]\nfootage = "none"\n[models]\nroot_file = "{root}"\n'
        f'[paths]\nstate_dir = "state"\nruntime_dir = "{stack.runtime_dir}/{device_id}"\n'
        f'[uplink]\nport = {stack.fleet.port}\nca_file = "{files.tls.ca_file}"\n'
        f'cert_file = "{files.tls.cert_file}"\nkey_file = "{files.tls.key_file}"\n'
        f'[trust]\nreceipt_key_file = "{files.receipt_key_file}"\n'
    )
    with (stack.logs_dir / f"{device_id}.log").open("w") as log:
        argv = [sys.executable, "-m", "agent", "--config", str(config), "uplink"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            yield folder / "state"
        finally:
            process.terminate()
            process.wait(30)


def wait_for_outcome(stack: LocalStack, wanted: Callable[[Outcome], bool], what: str) -> Outcome:
    shelf = ModelShelf(stack.state_dir)

    def has_come() -> bool:
        outcome = shelf.outcome()
        assert outcome.state not in ("refused", "failed", "rolled_back"), outcome
        return wanted(outcome)

    stack.wait_until(has_come, timeout_s=90, what=what)
    return shelf.outcome()


def record(stack: LocalStack, semver: str) -> None:
    """A session, once the recorder knows the model."""

    def knows_it() -> bool:
        status = stack.status()
        return status is not None and status.model == f"{MODEL} {semver}"

    stack.wait_until(knows_it, timeout_s=30, what=f"model {semver}")
    stack.start()
    wait_for_frames(stack, 40)
    stack.stop()
    wait_until_sent(stack)


def test_a_model_is_pushed_gated_activated_between_sessions_and_taken_back(
    make_stack: MakeStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Office(tmp_path / "updates", capsys)
    office.run("keys", "init")
    root = office.folder / "root.json"
    install(tmp_path / "stack" / "camera")
    stack = make_stack(
        {"device": {"groups": ["lab"]}, "models": {"root_file": root}},
        bundle=None,
        more_devices=tuple(OTHERS),
    )
    office.meet(stack)
    with ExitStack() as others:
        states = {
            name: others.enter_context(uplink_of(stack, name, hardware, root))
            for name, hardware in OTHERS.items()
        }
        stack.wait_ready()
        assert f"{MODEL} 1" in office.run("model", "status")

        office.pack(2)
        said = office.run("model", "push", MODEL, "2", "--halt-above", "50%")
        assert "targets: 3 of 2 signatures, released" in said
        assert "published: root-1, targets-2, halts-1, snapshot-2, timestamp" in said
        outcome = wait_for_outcome(stack, lambda o: o.state == "active", "version 2")
        assert (outcome.push, outcome.version) == (1, 2)
        for name, hardware in OTHERS.items():
            shelf = ModelShelf(states[name])
            stack.wait_until(lambda s=shelf: s.wanted() is not None, timeout_s=60, what=name)
            found = shelf.wanted()
            assert found is not None
            assert found.refused == f"made for onnxruntime, this camera is {hardware}"
            assert shelf.linked("active") == (MODEL, 1)
        record(stack, "0.2.0")

        office.pack(3)
        stack.start()
        wait_for_frames(stack, 5)
        office.run("model", "push", MODEL, "3", "--group", "lab")
        slot = ModelShelf(stack.state_dir).slot((MODEL, 3))
        stack.wait_until(slot.is_dir, timeout_s=60, what="version 3 in its slot")
        wait_for_frames(stack, 60)  # it is wanted, the session goes on
        assert ModelShelf(stack.state_dir).linked("active") == (MODEL, 2)
        stack.stop()
        wait_for_outcome(stack, lambda o: (o.state, o.version) == ("active", 3), "version 3")
        wait_until_sent(stack)

        said = office.run("model", "rollback", MODEL)
        assert "push 2: " in said
        assert "withdrawn" in said
        wait_for_outcome(stack, lambda o: (o.state, o.version) == ("active", 2), "the way back")
        record(stack, "0.2.0")
        stack.wait_until(
            lambda: f"{MODEL} 2" in office.run("model", "status"), timeout_s=30, what="the status"
        )
        lines = office.run("model", "status").splitlines()
        assert [line.split()[0] for line in lines[-4:]] == ["camera", DEVICE_ID, *OTHERS]
        assert "refused: made for onnxruntime, this camera is hailo" in lines[-2]
        office.run("model", "refresh")

    # The model changed in a tagger that went on, not in one that a failure started anew.
    log = (stack.logs_dir / "agent.log").read_text()
    assert "tagger ended" not in log
    sheets = [clip.sheet for clip in stored_clips(stack)]
    by_session = {sheet.session_id: sheet.model for sheet in sheets}
    assert [model and model.version for model in by_session.values()] == [2, 2, 2]
    for model in by_session.values():
        assert model is not None
        assert model.gate.startswith("passed: golden scores within")
        assert model.backend == "onnxruntime"
