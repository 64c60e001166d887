"""Makes the ground for an exercise, runs it under strace, and hands out what was seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.crypto.keys import load_private_key, load_recipients
from firmware_tools.dev_fleet import Fleet
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from tests.crash import trace
from tests.crash.disk import Disk, Kind, State, read_state
from tests.crash.processes import Machine, Operation
from tests.sample_clip import SampleDevice

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 180.0
# A kill may catch a call that changes a disk between its beginning and its end: nobody can tell
# then what the disk has of it. That is rare; the exercise is done again.
TRIES = 3


@dataclass(frozen=True)
class Recording:
    """What an exercise did. `initial` and `final`: the disks before and after it."""

    fleet: Fleet
    card: Path
    store: Path
    collector_config: Path
    calls: list[trace.Call]
    initial: dict[str, State]
    final: dict[str, State]

    def play(self) -> Iterator[tuple[Operation, dict[str, Disk]]]:
        """Each operation in turn, with the disks as they are after it."""
        disks = {root: Disk(state) for root, state in self.initial.items()}
        machine = Machine(disks, str(REPOSITORY), self.calls)
        for call in self.calls:
            done = machine.carry_out(call)
            if done is not None:
                yield done, disks

    def is_true(self) -> bool:
        """Whether the model's disks end as the real ones did."""
        disks = {root: Disk(state) for root, state in self.initial.items()}
        for _done, disks in self.play():  # noqa: B007 - the last ones are wanted
            pass
        return all(disks[root].state(Kind.ALL) == state for root, state in self.final.items())


def record(folder: Path, plan: str, *, fsync: str = "all") -> Recording:
    """Run the exercise `plan` in `folder`, which must not be there yet."""
    why: Exception | None = None
    for number in range(TRIES):
        made = _recorded(folder / str(number), plan, fsync)
        try:
            if made.is_true():
                return made
        except trace.TraceError as exc:
            why = exc
    raise trace.TraceError("the model's disks never ended as the real ones did") from why


def _recorded(folder: Path, plan: str, fsync: str) -> Recording:
    folder = folder.resolve()
    with _ground(folder) as stack:
        card, store = stack.state_dir, stack.store_dir
        initial = {str(disk): read_state(disk) for disk in (card, store)}
        log = folder / "trace.log"
        program = [sys.executable, "-m", "tests.crash.exercise", str(folder), plan]
        done = subprocess.run(
            trace.command([*program, "--fsync", fsync], log),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.returncode != 0:
            logs = [
                path.read_text()[-2000:] for path in sorted(folder.glob("*.log")) if path != log
            ]
            raise trace.TraceError("\n".join([done.stderr[-2000:], *logs]))
        calls = trace.read(log)
        log.unlink()
        final = {str(disk): read_state(disk) for disk in (card, store)}
    return Recording(stack.fleet, card, store, stack.collector_config, calls, initial, final)


@contextmanager
def _ground(folder: Path) -> Iterator[LocalStack]:
    """Keys, settings and a running broker; on the card lies a clip that will be refused."""
    stack = LocalStack(
        folder,
        footage=folder,
        bundle=folder,
        agent={
            "recorder": {"pre_roll_s": 1, "post_roll_s": 0, "clip_s": 2, "label_grace_s": 0.5},
            "retention": {"sent_keep_s": 0},
            "uplink": {"part_bytes": 16 * 1024},
        },
        programs=("broker",),
    )
    with stack:
        stack.wait_until(stack.supervisor.all_ready, timeout_s=20, what="the broker")
        stack.store_dir.mkdir()
        device = stack.fleet.device(DEVICE_ID)
        liar = SampleDevice(
            DEVICE_ID,
            load_recipients(device.recipients_file)[0],
            key=load_private_key(device.custody_key_file, "custody key"),
        )
        liar.plain_hash_of = lambda _index: "ab" * 32
        clip = liar.clip(count=1, fragment_bytes=5_000)
        clip.write(stack.state_dir / "spool" / "outbox" / clip.clip_id)
        yield stack
