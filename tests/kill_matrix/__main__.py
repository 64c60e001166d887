"""`make kill-matrix ROUNDS=150`: every round, a table of recoveries; 1 if anything is lost."""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.kill_matrix.faults import FAULTS, VICTIMS
from tests.kill_matrix.matrix import Round, plan, run_matrix


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill_matrix", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=None, help="plays the same plan again")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave nothing running then either
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"{options.rounds} rounds, --seed {seed}", flush=True)
    began_s = time.monotonic()
    count = 0

    def say(each: Round) -> None:
        nonlocal count
        count += 1
        print(
            f"{count:4}  {each.victim:9} {each.fault:6} at {each.moment_s:3.1f} s"
            f"  well again in {each.recovery_s:4.1f} s"
            f"{'  (asked for no memory)' if each.lived else ''}  {each.problem}",
            flush=True,
        )

    with tempfile.TemporaryDirectory(
        prefix="sightline-kills-", ignore_cleanup_errors=True
    ) as folder:
        done = run_matrix(Path(folder), plan(options.rounds, seed), say)
    print(table(done))
    bad = [each for each in done if each.problem]
    minutes = (time.monotonic() - began_s) / 60
    print(f"{len(done)} rounds in {minutes:.1f} min, {len(bad)} with something lost or doubled")
    return 1 if bad else 0


def table(done: list[Round]) -> str:
    """Seconds from the fault until frames come, are scored, and a clip has its receipt: median and
    worst. In it is the rest of the clip that was open at the fault, up to 2 s."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in done:
        times[each.victim, each.fault].append(each.recovery_s)
    lines = ["", "from fault to the next receipt, all else well (s: median / worst, rounds)"]
    lines.append(f"{'':10}" + "".join(f"{fault:>20}" for fault in FAULTS))
    for victim in VICTIMS:
        cells = [_cell(times[victim, fault]) for fault in FAULTS]
        lines.append(f"{victim:10}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines) + "\n"


def _cell(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f} ({len(seconds)})"


if __name__ == "__main__":
    sys.exit(main())
