"""`make crash`: cuts the power at every operation of recorder, uplink, collector and
model installer, and says what came of it. Exits 1 when a promise was broken once."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import models, trace
from tests.crash.disk import Kind
from tests.crash.record import record
from tests.crash.replay import Extent, Replay, Tally, in_memory

_SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try one of so many disks")
    parser.add_argument("--watched", type=int, default=24, help="recoveries to cut, of each part")
    parser.add_argument("--seed", type=int, default=1, help="decides what is random")
    options = parser.parse_args()
    why = trace.why_not()
    if why is not None:
        print(f"crash: {why}", file=sys.stderr)
        return 1
    # What recovery says of each disk would fill the screen.
    logging.disable(logging.CRITICAL)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sightline-crash-") as folder, in_memory() as scratch:
        print("recording an exercise under strace ...", flush=True)
        recording = record(Path(folder) / "exercise", "whole")
        print("cutting the power at each of its operations ...", flush=True)
        extent = Extent(options.every, options.watched, every_watched=4)
        tally = Replay(recording, scratch, extent, options.seed).run()
        print("the same for models: download, install, activation, the way back ...", flush=True)
        pushed = models.record(Path(folder) / "models")
        _add(tally, models.replay(pushed, scratch, every=options.every, seed=options.seed))
    print("\n".join(report(tally)))
    print(f"\n{time.monotonic() - began_s:.0f} s")
    return 1 if tally.violations else 0


def _add(tally: Tally, more: Tally) -> None:
    tally.operations += more.operations
    tally.rebuilt += more.rebuilt
    tally.tried += more.tried
    tally.violations += more.violations


def report(tally: Tally) -> list[str]:
    """The table: how many different disks were tried, by what the cut left of the unsynced."""
    names = list(dict.fromkeys(name for name, _kind in tally.rebuilt))

    def line(title: str, counts: list[int]) -> str:
        return f"{title:<28}" + "".join(f"{count:>21,}" for count in counts)

    lines = ["", f"{'what the cut leaves':<28}" + "".join(f"{name:>21}" for name in names)]
    lines += [line(kind.value, [tally.tried[name, kind] for name in names]) for kind in Kind]
    rebuilt = [sum(tally.rebuilt[name, kind] for kind in Kind) for name in names]
    tried = [sum(tally.tried[name, kind] for kind in Kind) for name in names]
    broken = [sum(row[0] == name for row, _text in tally.violations) for name in names]
    lines += [
        "",
        line("operations cut at", [tally.operations[name] for name in names]),
        line("disks a cut may leave", rebuilt),
        line("different ones, recovered", tried),
        line("promises broken", broken),
        "",
        *(text for _row, text in tally.violations[:_SHOWN]),
        f"{sum(tried):,} disks recovered, {len(tally.violations):,} promises broken",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
