"""Uplink's part in model updates: it keeps the published metadata in memory, starts the updater
when there is news, fetches for it what it asks for, and knows how far this camera is.

Uplink judges nothing here: the updater believes signatures alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.core.backoff import Backoff
from agent.errors import WireError
from agent.ipc.framed import Framed
from agent.ipc.update_messages import AskChunks, AskMetadata, Chunk, Metadata, NoTarget, Told
from agent.ports.broker import Arrived, Broker
from agent.services.trust_book import FileWatch
from agent.storage.model_shelf import ACTIVE, ModelShelf
from agent.wire.codec import decode, encode
from agent.wire.depot import MAX_METADATA_BYTES, TargetGet, TargetRefusal
from agent.wire.telemetry import ModelProgress, UpdateState
from agent.wire.topics import (
    UPDATE_METADATA,
    down_targets,
    parse_down_target,
    parse_update_metadata,
    up_get,
)

_SETTLED_NS = 500_000_000
_LOOK_EVERY_NS = 1_000_000_000
_SILENT_NS = 180_000_000_000
_MOST_METADATA_BYTES = 4 * 1024 * 1024
_FIRST_RETRY_S = 30.0
_MESSAGES_A_STEP = 64


class Updater(Protocol):
    """A running updater: its end of the socket pair, and its process."""

    link: Framed

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""

    def kill(self) -> None:
        """End it, and free what it held. Idempotent."""


StartUpdater = Callable[[], Updater]


class ModelDesk:
    """Used from uplink's loop. `start` None: this camera takes no model updates.
    `report(text)` hears what failed."""

    def __init__(
        self,
        *,
        broker: Broker,
        device_id: str,
        state_dir: Path,
        start: StartUpdater | None,
        retry: Backoff,
        report: Callable[[str], None],
    ) -> None:
        self._broker, self._device_id = broker, device_id
        self._start, self._retry, self._report = start, retry, report
        self._shelf = ModelShelf(state_dir)
        self._watches = [FileWatch(self._shelf.root / n) for n in ("wanted.json", "outcome.json")]
        self._look_due_ns = 0
        self._metadata: dict[str, bytes] = {}
        self._run_due_ns: int | None = None
        self._running: Updater | None = None
        self._heard_ns = 0
        self._asked: AskChunks | None = None
        self._told: ModelProgress | None = None
        self._done: Told | None = None
        self.progress: ModelProgress | None = None
        self.active_model = ""
        if start is None:
            return
        for topics in (UPDATE_METADATA, down_targets(device_id)):
            broker.subscribe(topics)

    def arrived(self, item: Arrived, now_ns: int) -> bool:
        """True when `item` was about model updates."""
        name = parse_update_metadata(item.topic)
        if name is not None:
            self._take_metadata(name, item.payload, now_ns)
            return True
        place = parse_down_target(item.topic)
        if place is None:
            return False
        if self._running is not None:
            self._pass_on(self._running, *place, item.payload)
        return True

    def step(self, now_ns: int, *, may_fetch: bool) -> bool:
        """Start the updater when there is news, and serve it. True when anything happened."""
        self._look(now_ns)
        if self._running is not None:
            return self._serve(self._running, now_ns, may_fetch=may_fetch)
        if self._start is None or not may_fetch or self._run_due_ns is None:
            return False
        if now_ns < self._run_due_ns or "timestamp" not in self._metadata:
            return False
        self._run_due_ns, self._done, self._asked = None, None, None
        try:
            self._running = self._start()
        except OSError as exc:
            self._again(now_ns, f"the updater cannot be started ({exc.strerror})")
            return True
        self._heard_ns = now_ns
        return True

    def close(self) -> None:
        """An updater at work is ended; the next goes on where it was."""
        if self._running is not None:
            self._running.kill()
            self._running = None

    def _take_metadata(self, name: str, content: bytes, now_ns: int) -> None:
        if not content:
            self._metadata.pop(name, None)
            return
        if self._metadata.get(name) == content or len(content) > MAX_METADATA_BYTES:
            return
        total = sum(len(each) for each in self._metadata.values()) + len(content)
        if total > _MOST_METADATA_BYTES:
            self._report("update metadata dropped: more than 4 MiB are published")
            return
        self._metadata[name] = content
        # What is retained comes one by one, in any order: wait until it has all come.
        self._run_due_ns = now_ns + _SETTLED_NS

    def _pass_on(self, updater: Updater, sha256: str, number: int | None, payload: bytes) -> None:
        if number is not None:
            updater.link.send(Chunk(sha256, number, payload))
            return
        try:
            why = decode(TargetRefusal, payload).why
        except WireError as exc:
            why = exc.what
        updater.link.send(NoTarget(sha256, why))

    def _serve(self, updater: Updater, now_ns: int, *, may_fetch: bool) -> bool:
        happened = False
        try:
            for _ in range(_MESSAGES_A_STEP):
                message = updater.link.receive()
                if message is None:
                    break
                happened, self._heard_ns = True, now_ns
                self._take(updater, message)
        except WireError as exc:
            self._end(updater, now_ns, f"the updater speaks nonsense ({exc})")
            return True
        if self._asked is not None and may_fetch:
            happened = self._ask(self._asked) or happened
        updater.link.flush()
        code = updater.ended()
        if code is not None and updater.link.is_closed:
            self._end(updater, now_ns, "" if code == 0 else f"the updater ended with {code}")
        elif now_ns - self._heard_ns > _SILENT_NS:
            self._end(updater, now_ns, "the updater was silent for 3 minutes")
        return happened

    def _take(self, updater: Updater, message: object) -> None:
        match message:
            case AskMetadata(name):
                updater.link.send(Metadata(name, self._metadata.get(name)))
            case AskChunks():
                self._asked = message
            case Told(progress, is_last):
                self._told = progress
                self._show()
                if is_last:
                    self._done = message

    def _ask(self, asked: AskChunks) -> bool:
        get = TargetGet(sha256=asked.sha256, chunk_bytes=asked.chunk_bytes, chunks=asked.chunks)
        if self._broker.publish(up_get(self._device_id), encode(get), qos=0) is None:
            return False
        self._asked = None
        return True

    def _end(self, updater: Updater, now_ns: int, problem: str) -> None:
        updater.kill()
        self._running = None
        self._look_due_ns = 0
        done = self._done
        if problem or done is None:
            self._again(now_ns, problem or "the updater ended before it was done")
            return
        if done.progress is not None and done.progress.why:
            what = f"{done.progress.name} {done.progress.version} {done.progress.state}"
            self._report(f"model update: {what}: {done.progress.why}")
        if done.again:
            self._again(now_ns, "")
        else:
            self._retry.reset()

    def _again(self, now_ns: int, problem: str) -> None:
        if problem:
            self._report(f"model update: {problem}")
            self._told = ModelProgress(state="failed", why=problem)
            self._show()
        if self._run_due_ns is None:
            self._run_due_ns = now_ns + int(self._retry.next_s() * 1e9)

    def _look(self, now_ns: int) -> None:
        """See what updater and tagger left on the card."""
        if now_ns < self._look_due_ns:
            return
        self._look_due_ns = now_ns + _LOOK_EVERY_NS
        changed = [watch.has_changed() for watch in self._watches]  # all of them: each remembers
        if any(changed) or not self.active_model:
            self._show()

    def _show(self) -> None:
        active = self._shelf.linked(ACTIVE)
        self.active_model = f"{active[0]} {active[1]}" if active else ""
        told, wanted = self._told, self._shelf.wanted()
        if wanted is None or (told is not None and told.state in ("downloading", "failed")):
            self.progress = told
            return
        outcome = self._shelf.outcome()
        about = (outcome.push, outcome.name, outcome.version)
        state: UpdateState
        if wanted.refused:
            state, why = "refused", wanted.refused
        elif outcome.state and about == (wanted.push, *wanted.model):
            state, why = outcome.state, outcome.why
        else:
            state, why = ("current" if wanted.model == active else "installed"), ""
        self.progress = ModelProgress(
            state=state,
            push=wanted.push,
            name=wanted.name,
            version=wanted.version,
            percent=100,
            why=why,
        )


def retry_backoff(most_s: float, random: Callable[[], float]) -> Backoff:
    """Waits between failed updates."""
    return Backoff(min(_FIRST_RETRY_S, most_s), most_s, random)
