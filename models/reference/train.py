"""Train the reference network (or the baseline it is measured against).

    python -m models.reference.train --sets DIR --work DIR [--baseline] [--resume] [--quick]

DIR of `--sets` holds the sets `train` and `val`, each a folder of NAME.mp4 and NAME.truth.json.
Checkpoints, the decoded pictures and the log go to `--work`; `--resume` goes on from the last
checkpoint, also with more clips or more steps than before. Validation watches the backbone's
training and chooses nothing; when it is done, the head that ships is fitted to its features.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

# Threads that wait for one another must sleep, not spin: on a shared machine spinning costs most
# of the time. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import msgspec

from agent.errors import FootageError
from models.reference import baseline, recipe
from models.reference.cache import load_set
from models.reference.check import refuse_unfit
from models.reference.learn import Schedule, Training, positive_weight, run, set_up_torch
from models.reference.loader import Sequences
from models.reference.parts import make_parts
from models.reference.tasks import BaselineTask, MainTask
from models.reference.train_report import TrainingReport, read_report, write_report

MAIN = Schedule(steps=3200, peak=2e-3, warm_up=300, decay=1000)
BASELINE = Schedule(steps=3400, peak=3e-3, warm_up=160, cosine=True)
QUICK_STEPS = 1200
RARE_SHARE, BASELINE_RARE_SHARE = 0.4, 0.35


def main() -> None:
    arguments = _arguments()
    try:
        refuse_unfit(arguments.sets, with_split=not arguments.no_split)
    except FootageError as exc:
        raise SystemExit(str(exc)) from None
    name = "baseline" if arguments.baseline else "main"
    schedule = _schedule(arguments)
    set_up_torch()
    cv2.setNumThreads(1)
    size = (
        (baseline.HEIGHT, baseline.WIDTH) if arguments.baseline else (recipe.HEIGHT, recipe.WIDTH)
    )
    cache = arguments.work / "cache"
    clips = load_set(arguments.sets / recipe.TRAINING_SET, cache, size)
    validation = load_set(arguments.sets / recipe.VALIDATION_SET, cache, size)
    task = BaselineTask() if arguments.baseline else MainTask()
    training = Training(task, schedule.peak, arguments.device)
    checkpoint = arguments.work / f"{name}.pt"
    if arguments.resume and checkpoint.exists():
        training.resume(checkpoint)
    length = 4 if arguments.baseline else 2
    sequences = Sequences(
        clips,
        count=16 if arguments.baseline else 24,
        time=length,
        rare_share=BASELINE_RARE_SHARE if arguments.baseline else RARE_SHARE,
        seed=recipe.SEED,
    )
    earlier = read_report(arguments.work, name)
    _say(
        f"{name}: {len(clips)} clips, {sum(len(c.pts_ns) for c in clips)} pictures,"
        f" {len(validation)} validation clips, from step {training.step} to {schedule.steps}"
    )
    report = TrainingReport(
        clips=len(clips),
        pictures=sum(len(clip.pts_ns) for clip in clips),
        steps=schedule.steps,
        pictures_a_step=length * sequences.count,
        cpu_min=0.0,
        device=arguments.device,
        resumed_with_more=training.step > 0
        and (earlier is None or earlier.clips != len(clips) or earlier.resumed_with_more),
    )
    run(
        training,
        sequences,
        schedule,
        balance=positive_weight(clips).to(arguments.device),
        validation=validation,
        checkpoint=checkpoint,
        report=_say,
        every=arguments.validate_every,
    )
    spent = round(training.spent_cpu_s / 60, 1)
    write_report(arguments.work, name, msgspec.structs.replace(report, cpu_min=spent))
    if not arguments.baseline:
        make_parts(arguments.work, clips, validation, arguments.head_stretches, _say)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--work", type=Path, required=True, help="folder for what training makes")
    parser.add_argument("--baseline", action="store_true", help="train the baseline instead")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--quick", action="store_true", help="fewer steps: worse, in minutes")
    parser.add_argument("--steps", type=int, help="the last step, instead of the recipe's")
    parser.add_argument("--decay", type=int, help="steps over which the rate falls at the end")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--head-stretches", type=int, default=300, help="of 48 pictures to fit the head to; 0: all"
    )
    parser.add_argument("--validate-every", type=int, default=500, help="steps")
    parser.add_argument(
        "--no-split", action="store_true", help="the sets are apart by construction: do not ask"
    )
    return parser.parse_args()


def _schedule(arguments: argparse.Namespace) -> Schedule:
    schedule = BASELINE if arguments.baseline else MAIN
    steps = arguments.steps or (QUICK_STEPS if arguments.quick else schedule.steps)
    decay = arguments.decay or min(schedule.decay, steps // 2)
    return replace(schedule, steps=steps, decay=decay, warm_up=min(schedule.warm_up, steps // 4))


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    main()
