"""Our programs as a person runs them: to their end, with what they said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from firmware_tools.local_stack import LocalStack
from tests.scenario.evidence import stack_traces

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


def program(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of our programs to its end."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=ROOT,
    )


def agent(stack: LocalStack, *words: str) -> subprocess.CompletedProcess[str]:
    return program("agent", "--config", stack.agent_config, *words)


def only_line(ran: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """What a program that failed said: one line on stderr, nothing else."""
    assert ran.returncode == exit_code, ran.stderr
    assert ran.stdout == ""
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1, ran.stderr
    assert not stack_traces(ran.stderr)
    return lines[0]
