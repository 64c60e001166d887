"""Rounds of short sessions with one fault each, and what must hold after every one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from firmware_tools.local_stack import LocalStack, Sections, StackError
from tests.kill_matrix.faults import FAULTS, VICTIMS, WATCHDOG_S, strike
from tests.scenario import evidence
from tests.scenario.conftest import BUNDLE, QUICK, QUICK_FOOTAGE, over
from tests.scenario.waiting import status_of, wait_until_sent

SESSION_S = 3.0
# So long after the start press a fault may come: also while the session closes and is sent.
LATEST_FAULT_S = 5.0
ROUNDS_PER_STACK = 15
SETTINGS: Sections = {
    # About what the camera makes, so that an upload is under way most of the time.
    "uplink": {"part_bytes": 16 * 1024, "window_cap_bytes": 64 * 1024, "bandwidth_cap_kbps": 2500},
    "supervisor": {"watchdog_s": WATCHDOG_S},
}


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round was. `recovery_s`: from the fault until the program does its work again;
    `lived`: starved, but it asked for nothing. `problem`: empty when nothing was lost and nothing
    is there twice."""

    victim: str
    fault: str
    moment_s: float
    recovery_s: float
    lived: bool = False
    problem: str = ""


def plan(rounds: int, seed: int) -> list[tuple[str, str, float]]:
    """(victim, fault, moment): every pair as often as the others, in random order, at random
    moments."""
    chance = random.Random(seed)
    pairs = [(victim, fault) for victim in VICTIMS for fault in FAULTS]
    drawn: list[tuple[str, str]] = []
    while len(drawn) < rounds:
        drawn += chance.sample(pairs, len(pairs))
    return [(*pair, chance.uniform(0, LATEST_FAULT_S)) for pair in drawn[:rounds]]


def run_matrix(
    folder: Path, rounds: list[tuple[str, str, float]], say: Callable[[Round], None]
) -> list[Round]:
    """Plays `rounds`, a fresh camera, broker and collector for each few of them."""
    done: list[Round] = []
    for first in range(0, len(rounds), ROUNDS_PER_STACK):
        stack = LocalStack(
            folder / f"stack-{first}",
            footage=QUICK_FOOTAGE,
            bundle=BUNDLE,
            agent=over(QUICK, SETTINGS),
        )
        with stack:
            stack.wait_ready()
            durable: set[str] = set()
            for victim, fault, moment_s in rounds[first : first + ROUNDS_PER_STACK]:
                done.append(play(stack, victim, fault, moment_s, durable))
                say(done[-1])
                if done[-1].problem:
                    break  # what follows would blame the next ones for it
    return done


def play(stack: LocalStack, victim: str, fault: str, moment_s: float, durable: set[str]) -> Round:
    """One session and one fault. `durable` grows by what was safe on the card at the fault."""
    recovery_s, lived, problem = 0.0, False, ""
    try:
        stack.wait_until(lambda: is_well(stack), timeout_s=90, what="a camera that is well")
        stack.start({"scenario": "matrix"})
        began_s = time.monotonic()
        wait_to(stack, began_s + min(moment_s, SESSION_S))
        if moment_s > SESSION_S:
            stack.stop()
            wait_to(stack, began_s + moment_s)
        struck_s, struck_wall_s = time.monotonic(), time.time()
        struck = strike(stack, victim, fault)
        durable |= struck.durable
        lived = struck.lived
        stack.wait_until(
            lambda: is_well(stack) and delivers(stack, struck_wall_s),
            timeout_s=90,
            what="all programs to do their work again",
        )
        recovery_s = time.monotonic() - struck_s
        wait_to(stack, began_s + SESSION_S)
        if status_of(stack).state == "recording":
            stack.stop()
        wait_until_sent(stack)
        durable |= evidence.durable_fragments(stack)
        evidence.assert_arrived_once(stack, durable)
        evidence.assert_no_stack_trace(stack)
    except (StackError, AssertionError) as error:
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return Round(
        victim=victim,
        fault=fault,
        moment_s=moment_s,
        recovery_s=recovery_s,
        lived=lived,
        problem=problem,
    )


def is_well(stack: LocalStack) -> bool:
    """Frames come, and they are scored."""
    status = stack.status()
    return status is not None and status.frames_captured > 0 and status.tagger == "ready"


def delivers(stack: LocalStack, since_wall_s: float) -> bool:
    """A receipt came after the fault, or nothing is left that could get one."""
    sent = stack.state_dir / "spool" / "sent"
    if any(path.stat().st_mtime > since_wall_s for path in sent.glob("*/receipt.jws")):
        return True
    return not evidence.shelf(stack, "recording") and not evidence.shelf(stack, "outbox")


def wait_to(stack: LocalStack, moment_s: float) -> None:
    stack.wait_until(lambda: time.monotonic() >= moment_s, timeout_s=60, what="a moment")
