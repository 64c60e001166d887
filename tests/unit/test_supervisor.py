"""The desk supervisor: restarts what ended or fell silent, stops in order. Real small processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from agent.supervisor import Program, Supervisor

DEADLINE_S = 30.0
READY = (
    "import os, signal; from agent.ipc.notify import Notifier; n = Notifier(); n.ready('well'); "
)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class Bench:
    """A supervisor with what it reported."""

    def __init__(self, *programs: Program) -> None:
        self.reports: list[str] = []
        self.supervisor = Supervisor(list(programs), self.reports.append)

    def until(self, happened: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline_s, self.reports
            self.supervisor.turn(0.02)


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.supervisor.close()


def test_a_program_that_ends_is_started_again(benches: list[Bench]) -> None:
    bench = Bench(Program(name="a", argv=python("raise SystemExit(3)")))
    benches.append(bench)
    bench.until(lambda: bench.supervisor.starts("a") >= 2)
    assert "a ended with 3: restarted in 0.2 s" in bench.reports


def test_a_killed_program_is_named_with_its_signal(benches: list[Bench]) -> None:
    bench = Bench(Program(name="a", argv=python("import signal; signal.pause()")))
    benches.append(bench)
    bench.until(lambda: bench.supervisor.pid("a") is not None)
    os.kill(bench.supervisor.pid("a") or 0, signal.SIGKILL)
    bench.until(lambda: bench.supervisor.starts("a") == 2)
    assert any("killed by SIGKILL" in line for line in bench.reports)


def test_readiness_and_status_come_from_the_program(benches: list[Bench]) -> None:
    bench = Bench(Program(name="a", argv=python(READY + "signal.pause()"), watchdog_s=600))
    benches.append(bench)
    assert not bench.supervisor.all_ready()
    bench.until(bench.supervisor.all_ready)
    assert bench.supervisor.status("a") == "well"


def test_a_program_that_falls_silent_after_ready_is_killed(benches: list[Bench]) -> None:
    bench = Bench(Program(name="a", argv=python(READY + "signal.pause()"), watchdog_s=0.3))
    benches.append(bench)
    bench.until(lambda: bench.supervisor.starts("a") >= 2)
    assert "a was silent for 0.3 s: killed" in bench.reports


def test_restarts_back_off(benches: list[Bench]) -> None:
    bench = Bench(Program(name="a", argv=python("raise SystemExit(1)")))
    benches.append(bench)
    bench.until(lambda: len(bench.reports) >= 3)
    assert [line.split(" in ")[1] for line in bench.reports[:3]] == ["0.2 s", "0.4 s", "0.8 s"]


def test_one_program_ending_leaves_the_other_alone(benches: list[Bench]) -> None:
    bench = Bench(
        Program(name="steady", argv=python("import signal; signal.pause()")),
        Program(name="weak", argv=python("raise SystemExit(1)")),
    )
    benches.append(bench)
    bench.until(lambda: bench.supervisor.starts("weak") >= 2)
    assert bench.supervisor.starts("steady") == 1


def test_close_ends_every_program() -> None:
    bench = Bench(Program(name="a", argv=python("import signal; signal.pause()")))
    bench.until(lambda: bench.supervisor.pid("a") is not None)
    pid = bench.supervisor.pid("a") or 0
    bench.supervisor.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_ignores_the_end_is_killed_after_its_patience() -> None:
    code = READY.replace("n.ready", "signal.signal(signal.SIGTERM, signal.SIG_IGN); n.ready")
    bench = Bench(
        Program(name="a", argv=python(code + "signal.pause()"), watchdog_s=600, stop_within_s=0.2)
    )
    bench.until(bench.supervisor.all_ready)
    bench.supervisor.close()
    assert bench.reports == ["a did not stop in 0.2 s: killed"]
