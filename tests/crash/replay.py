"""Cuts the power at every operation of an exercise, recovers, and holds the result to its promises.

Each cut may leave several disks (`disk.Kind`); one that was tried before with the same promises is
not tried again. Some recoveries are watched in turn, and cut at every operation of their own.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.crash import trace
from tests.crash.account import Account
from tests.crash.card import CardCheck, CardKeys, recover
from tests.crash.disk import Disk, Kind, State, read_state, write_state
from tests.crash.processes import Machine, Operation
from tests.crash.record import REPOSITORY, Recording
from tests.crash.store import StoreCheck

Part = Literal["card", "store"]
Row = tuple[str, Kind]

# Each so-many-th state is also recovered a second time (the card), or gets all clips sent again
# (the collector's disk): that must change nothing, or make everything whole.
_SECOND_LOOK = 5


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder for disks that are made and thrown away by the thousand."""
    memory = Path("/dev/shm")
    home = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sightline-crash-", dir=home) as folder:
        yield Path(folder)


@dataclass
class Tally:
    """What was tried. `rebuilt`: disks that a cut may leave; `tried`: those not seen before."""

    operations: Counter[str] = field(default_factory=Counter)
    rebuilt: Counter[Row] = field(default_factory=Counter)
    tried: Counter[Row] = field(default_factory=Counter)
    violations: list[tuple[Row, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """A disk whose recovery is watched, and what it must keep."""

    disk: Disk
    account: Account


@dataclass(frozen=True)
class Extent:
    """How much is tried: one of `every` disks (by a hash, so always the same), and for each part
    `watched` recoveries after a power cut and after a kill, of whose disks one of `every_watched`.
    """

    every: int = 1
    watched: int = 0
    every_watched: int = 1
    parts: tuple[Part, ...] = ("card", "store")


class Replay:
    """Tries the states of one recording; scratch space is in `scratch` (best in memory)."""

    def __init__(self, recording: Recording, scratch: Path, extent: Extent, seed: int = 1) -> None:
        self._recording = recording
        self._scratch = scratch
        self._extent = extent
        self._seed = seed
        self._keys = CardKeys.of(recording.fleet)
        self._card = CardCheck(self._keys)
        final = recording.final[str(recording.store)]
        (scratch / "rig").mkdir(parents=True)
        self._store = StoreCheck(scratch / "rig", recording.collector_config, self._keys, final)
        self._parts: dict[str, Part] = {
            str(recording.card): "card",
            str(recording.store): "store",
        }
        self._seen: set[tuple[str, int, int]] = set()
        # Power cuts leave a disk on which all is durable; kills one with much that is not.
        self._after_cuts: dict[Part, list[Sample]] = {"card": [], "store": []}
        self._after_kills: dict[Part, list[Sample]] = {"card": [], "store": []}
        self.tally = Tally()

    def run(self) -> Tally:
        """Cut everywhere. `tally` grows meanwhile."""
        account, kills = Account(), self._moments_of_kills()
        for done, disks in self._recording.play():
            account.note(done)
            part = self._parts.get(done.disk)
            if part is not None and part in self._extent.parts:
                self.tally.operations[part] += 1
                self._cut(part, part, disks[done.disk], account, done)
                if done.ended in kills:
                    killed = Sample(disks[done.disk].carried_over(), account.frozen())
                    self._after_kills[part].append(killed)
        if "store" in self._extent.parts:
            untrue = self._store.final_is_true(account)
            self.tally.violations += [(("store", Kind.ALL), text) for text in untrue]
        for part in self._extent.parts:
            cuts = self._after_cuts[part]
            chosen = random.Random(self._seed).sample(cuts, min(self._extent.watched, len(cuts)))
            self._watch(f"{part}, recovering", part, chosen)
            self._watch(f"{part}, after a kill", part, self._after_kills[part])
        return self.tally

    def _moments_of_kills(self) -> set[int]:
        """When programs are killed: just before a sync, with something left undone."""
        moments: dict[str, list[int]] = {disk: [] for disk in self._parts}
        last = dict.fromkeys(self._parts, 0)
        for done, _disks in self._recording.play():
            if done.what == "sync":
                moments[done.disk].append(last[done.disk])
            if done.disk in last:
                last[done.disk] = done.ended
        chosen: set[int] = set()
        for found in moments.values():
            count = min(self._extent.watched, len(found))
            chosen.update(random.Random(self._seed).sample(found, count))
        return chosen

    def _cut(self, name: str, part: Part, disk: Disk, account: Account, done: Operation) -> None:
        is_watched = name != part
        every = self._extent.every_watched if is_watched else self._extent.every
        for kind, variant in kinds_of(disk):
            # Not `hash`, which differs from one run to the next.
            if zlib.crc32(f"{name} {done.ended} {kind} {variant}".encode()) % every != 0:
                continue
            state = disk.state(kind, variant, self._seed)
            row = name, kind
            self.tally.rebuilt[row] += 1
            key = part, hash(frozenset(state.items())), account.version
            if key in self._seen:
                continue
            self._seen.add(key)
            self.tally.tried[row] += 1
            where = f"{name}, line {done.ended} ({done}), {kind.value}"
            for text in self._tried(part, state, account, self.tally.tried.total()):
                self.tally.violations.append((row, f"{where}: {text}"))
            if not is_watched and self._extent.watched:
                self._after_cuts[part].append(Sample(Disk(state), account.frozen()))

    def _tried(self, part: Part, state: State, account: Account, number: int) -> list[str]:
        folder = self._scratch / "disk"
        write_state(folder, state)
        try:
            if part == "card":
                return list(self._card_violations(folder, account, number))
            return list(self._store_violations(folder, account, number))
        except Exception as exc:  # whatever it is: the program would not have started
            self._store.stop()
            return [f"recovery fails: {exc!r}"]
        finally:
            shutil.rmtree(folder)

    def _card_violations(self, folder: Path, account: Account, number: int) -> Iterator[str]:
        vault = recover(
            folder, self._keys, uplink_first=number % 2 == 0, fsync=lambda descriptor: None
        )
        if number % _SECOND_LOOK == 0:
            before = read_state(folder / "spool")
            vault = recover(folder, self._keys, fsync=lambda descriptor: None)
            if read_state(folder / "spool") != before:
                yield "a second recovery changes what the first one made"
        yield from self._card.violations(vault, account)

    def _store_violations(self, folder: Path, account: Account, number: int) -> Iterator[str]:
        self._store.restart(folder)
        yield from self._store.violations(folder, account, deliver=number % _SECOND_LOOK == 0)

    def _watch(self, name: str, part: Part, samples: list[Sample]) -> None:
        """Run these recoveries under strace, and cut them at each of their operations."""
        if not samples:
            return
        ground = self._scratch / "watched"
        ground.mkdir()
        by_root = {str(ground / str(number)): sample for number, sample in enumerate(samples)}
        for root, sample in by_root.items():
            write_state(Path(root), sample.disk.state(Kind.ALL))
        calls = self._watched(part, list(by_root))
        disks = {root: sample.disk for root, sample in by_root.items()}
        machine = Machine(disks, str(REPOSITORY), calls)
        for call in calls:
            done = machine.carry_out(call)
            if done is not None and done.disk in by_root:
                self.tally.operations[name] += 1
                self._cut(name, part, disks[done.disk], by_root[done.disk].account, done)
        for root, disk in disks.items():
            if disk.state(Kind.ALL) != read_state(Path(root)):
                raise trace.TraceError(f"the model of {root} is not what became of it")
        shutil.rmtree(ground)

    def _watched(self, part: Part, folders: list[str]) -> list[trace.Call]:
        log = self._scratch / "recovery.log"
        program = [sys.executable, "-m", "tests.crash.recovery_program", part]
        fleet = str(self._recording.fleet.directory)
        argv = [*program, fleet, str(self._recording.collector_config), *folders]
        subprocess.run(trace.command(argv, log), cwd=REPOSITORY, check=True, timeout=300)
        calls = trace.read(log)
        log.unlink()
        return calls


def kinds_of(disk: Disk) -> Iterator[tuple[Kind, int]]:
    for kind in Kind:
        for variant in range(disk.variants(kind)):
            yield kind, variant
