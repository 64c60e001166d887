"""Threads that do slow work for the one that reads the broker.

A job runs in a worker and returns what remains to be done in the main thread (a function), so that
all state of a transfer is touched by the main thread alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

Then = Callable[[], None]
Job = Callable[[], Then]


class Worker(Protocol):
    """Runs jobs one after another, in the order given; `stop` ends after the job at work."""

    def submit(self, job: Job) -> None: ...

    def stop(self) -> None: ...


class Finished:
    """What the workers have done, for the main thread to conclude."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Then] = queue.SimpleQueue()

    def put(self, then: Then) -> None:
        self._queue.put(then)

    def conclude(self) -> bool:
        """Run all that waits. True when there was any."""
        happened = False
        while True:
            try:
                then = self._queue.get_nowait()
            except queue.Empty:
                return happened
            then()
            happened = True


class ThreadWorker:
    """One thread. A job must not raise: it turns its errors into what follows."""

    def __init__(self, name: str, finished: Finished) -> None:
        self._finished = finished
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        self._stopping = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stopping:
            self._finished.put(job())


class InlineWorker:
    """Does each job at once, in the caller's thread: for tests and trials."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished

    def submit(self, job: Job) -> None:
        self._finished.put(job())

    def stop(self) -> None:
        return
