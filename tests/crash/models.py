"""Cuts the power at every operation of download, install, activation and the way back, and looks
what the camera has then: a working active model, and no less trust than it had."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError
from agent.storage.model_shelf import ModelShelf
from agent.storage.model_slots import open_bundle
from tests.crash import model_exercise as exercise
from tests.crash import trace
from tests.crash.disk import Disk, Kind, State, read_state, write_state
from tests.crash.processes import Machine
from tests.crash.record import REPOSITORY
from tests.crash.replay import Tally, kinds_of
from tests.update_rig import RepositorySource
from tests.updates import MODEL

NAME = "models"
_RECOVERED_EVERY = 7


@dataclass(frozen=True)
class ModelRecording:
    """What the exercise did to the card `card`."""

    card: Path
    office: Path
    calls: list[trace.Call]
    initial: State
    final: State


def record(folder: Path, *, fsync: str = "all") -> ModelRecording:
    """Run the exercise under strace. Raises TraceError when the model does not follow it."""
    card, office = folder.resolve() / "card", folder.resolve() / "office"
    exercise.prepare(card, office)
    initial, log = read_state(card), folder / "trace.log"
    program = [sys.executable, "-m", "tests.crash.model_exercise", str(card), str(office)]
    argv = trace.command([*program, "--fsync", fsync], log)
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise trace.TraceError(done.stderr[-3000:])
    calls = trace.read(log)
    log.unlink()
    return ModelRecording(card, office, calls, initial, read_state(card))


def replay(recording: ModelRecording, scratch: Path, *, every: int = 1, seed: int = 1) -> Tally:
    """Try one of `every` disks. Raises TraceError when the card ends unlike the true one."""
    root = str(recording.card)
    disks = {root: Disk(recording.initial)}
    machine = Machine(disks, str(REPOSITORY), recording.calls)
    tally, seen, trusted = Tally(), set(), 0
    for call in recording.calls:
        done = machine.carry_out(call)
        if done is None:
            continue
        if done.what == "mark":
            trusted = max(trusted, int(done.path.partition(":")[2]))
            continue
        tally.operations[NAME] += 1
        for kind, variant in kinds_of(disks[root]):
            if zlib.crc32(f"{done.ended} {kind} {variant}".encode()) % every != 0:
                continue
            state = disks[root].state(kind, variant, seed)
            tally.rebuilt[NAME, kind] += 1
            key = hash(frozenset(state.items())), trusted
            if key in seen:
                continue
            seen.add(key)
            tally.tried[NAME, kind] += 1
            where = f"{NAME}, line {done.ended} ({done}), {kind.value}"
            number = tally.tried.total()
            for text in _broken(state, scratch, recording, trusted, number):
                tally.violations.append(((NAME, kind), f"{where}: {text}"))
    if disks[root].state(Kind.ALL) != recording.final:
        raise trace.TraceError("the model's card does not end as the real one did")
    return tally


def _broken(
    state: State, scratch: Path, recording: ModelRecording, trusted: int, number: int
) -> list[str]:
    folder = scratch / "card"
    write_state(folder, state)
    try:
        found = list(_promises(folder, trusted))
        if number % _RECOVERED_EVERY == 0:
            found += _recovery(folder, recording)
        return found
    except Exception as exc:  # whatever it is: the programs would not have gone on
        return [f"recovery fails: {exc!r}"]
    finally:
        shutil.rmtree(folder)


def _promises(folder: Path, trusted: int) -> Iterator[str]:
    shelf = ModelShelf(folder)
    active = shelf.linked("active")
    if active is None:
        yield "no model is active"
    for slot in sorted((folder / "models" / MODEL).iterdir()):
        try:
            open_bundle(slot)
        except AgentError as exc:
            yield f"slot {slot.name} is there in part: {exc}"
    if trusted:
        try:
            version = exercise.timestamp_version(folder)
        except (OSError, ValueError) as exc:
            yield f"the trust is gone ({exc})"
        else:
            if version < trusted:
                yield f"trust went back from {trusted} to {version}"


def _recovery(folder: Path, recording: ModelRecording) -> Iterator[str]:
    """The programs start again with the newest push, and bring the card where it belongs."""
    rig = exercise.rig_of(folder, recording.office)
    rig.run(RepositorySource(exercise.office(recording.office)))
    shelf, stage = ModelShelf(folder), exercise.Stage()
    keeper = exercise.keeper_of(shelf, rig.clock)
    for _ in range(12):
        keeper.step(stage)
        rig.clock.advance(1.0)
    keeper.close()
    newest = MODEL, exercise.VERSIONS[-1]
    failed = shelf.outcome().failed(len(exercise.VERSIONS), newest) is not None
    active = shelf.linked("active")
    if active is None or (active == newest) == failed:
        yield f"{active} is active, and the newest {'failed' if failed else 'did not fail'}"
    if active is not None:
        open_bundle(shelf.slot(active))
