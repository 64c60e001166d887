"""`make demo`: one exercise, from button press to receipt, on this machine, for real."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path

from agent.errors import AgentError
from firmware_tools.demo_table import clip_table, read_clips
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from firmware_tools.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FOOTAGE = ROOT / "tests" / "footage"
DEFAULT_BUNDLE = ROOT / "models" / "sightline-reference" / "1"
MARK_AFTER_S = 12.0
RECEIPTS_WITHIN_S = 120.0


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns 0 when every clip has its receipt, else 1 and one line says why."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Progress(sys.stderr)
    try:
        _check_footage(options.footage)
        _demo(options, progress)
    except AgentError as error:
        progress.end()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.end()
        print("demo: stopped by hand; nothing is left running", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_tools.demo", description=__doc__)
    parser.add_argument(
        "--footage", type=Path, default=DEFAULT_FOOTAGE, help="MP4 files to show to the camera"
    )
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="the model to tag with")
    parser.add_argument("--out", type=Path, default=Path("run/demo"), help="where everything lies")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long the exercise lasts")
    parser.add_argument("--pre-roll", type=float, default=30.0, help="seconds kept from before")
    return parser


def _check_footage(footage: Path) -> None:
    if not footage.exists():
        raise AgentError(
            f"footage {footage} is not there", remedy="give a folder of MP4 files: FOOTAGE=DIR"
        )


def _demo(options: argparse.Namespace, progress: Progress) -> None:
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    stack = LocalStack(
        out,
        footage=options.footage,
        bundle=options.bundle,
        agent={"recorder": {"pre_roll_s": options.pre_roll}},
        report=progress.note,
    )
    with stack:
        progress.say("starting broker, collector and camera")
        stack.wait_ready()
        _fill_pre_roll(stack, progress, options.pre_roll)
        stopped_wall_ns = _exercise(stack, progress, options.seconds)
        _wait_for_receipts(stack, progress)
        progress.say("stopping")
    progress.end()
    clips = read_clips(stack.store_dir)
    print(clip_table(clips, stopped_wall_ns))
    print(f"\nMP4s and label sheets: {stack.store_dir / 'store' / DEVICE_ID}")
    print(f"Sealed on the camera:  {stack.state_dir / 'spool' / 'sent'}")
    print(f"Collection key (age):  {stack.fleet.collector.age_identity_file}")
    print(f"Logs:                  {stack.logs_dir}")


def _fill_pre_roll(stack: LocalStack, progress: Progress, pre_roll_s: float) -> None:
    def filled() -> bool:
        status = stack.status()
        if status is None:
            return False
        ready_s = status.pre_roll_ready_s
        progress.say(f"standby: {ready_s:.0f} of {pre_roll_s:.0f} s pre-roll in memory")
        return ready_s >= pre_roll_s

    stack.wait_until(filled, timeout_s=pre_roll_s + 60, what="the pre-roll to fill")


def _exercise(stack: LocalStack, progress: Progress, seconds: float) -> int:
    """Press start, mark, stop. Returns Unix nanoseconds of the stop press."""
    stack.start({"scenario": "hostage", "environment": "public-transport", "site": "demo"})
    progress.note("start pressed")
    began_s = time.monotonic()
    marked = False
    while (passed_s := time.monotonic() - began_s) < seconds:
        stack.turn()
        if not marked and passed_s >= min(MARK_AFTER_S, seconds / 2):
            stack.mark()
            progress.note("mark pressed")
            marked = True
        progress.say(f"recording: {passed_s:.0f} of {seconds:.0f} s{_spool_line(stack)}")
    stack.stop()
    progress.note("stop pressed")
    return time.time_ns()


def _wait_for_receipts(stack: LocalStack, progress: Progress) -> None:
    def all_sent() -> bool:
        status = stack.status()
        progress.say(f"after the stop{_spool_line(stack)}")
        spool = stack.state_dir / "spool"
        left = [*_names(spool / "recording"), *_names(spool / "outbox")]
        return status is not None and status.state == "standby" and not left

    stack.wait_until(all_sent, timeout_s=RECEIPTS_WITHIN_S, what="the receipts of all clips")
    refused = _names(stack.state_dir / "spool" / "rejected")
    if refused:
        raise AgentError(
            f"the collector refused {', '.join(refused)}",
            remedy=f"see reason.json in {stack.state_dir / 'spool' / 'rejected'}",
        )


def _spool_line(stack: LocalStack) -> str:
    spool = stack.state_dir / "spool"
    outbox, sent = len(_names(spool / "outbox")), len(_names(spool / "sent"))
    return f", {outbox} waiting, {sent} with receipt"


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in folder.iterdir())
    return []


if __name__ == "__main__":
    sys.exit(main())
