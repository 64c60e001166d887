"""Brings files to the collection server's depot, over MQTT, in chunks, resumable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import google_crc32c

from agent.errors import BrokerError, WireError
from agent.ports.broker import Arrived, Broker, Connected, Disconnected
from agent.wire.codec import decode, encode
from agent.wire.depot import CHUNK_BYTES, UPLOAD_WINDOW, DepotOpen, DepotState
from agent.wire.topics import depot_chunk, depot_open, down_depots, parse_down_depot
from agent.wire.transfer import CRC_PROPERTY
from firmware_tools.update_repository import RepositoryProblem

_SILENCE_S = 3.0
_PATIENCE_S = 60.0
Progress = Callable[[str], None]


class DepotClient:
    """One admin's connection. `broker` is started here; `admin` is its user name."""

    def __init__(
        self, broker: Broker, admin: str, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._broker, self._admin, self._now_s = broker, admin, now_s
        broker.subscribe(down_depots(admin))
        broker.start()
        self._is_connected = False

    def connect(self) -> None:
        """Raises BrokerError when there is no connection within a minute."""
        deadline_s, reason = self._now_s() + _PATIENCE_S, "no answer"
        while not self._is_connected:
            item = self._broker.read(0.2)
            if isinstance(item, Connected):
                self._is_connected = True
            elif isinstance(item, Disconnected):
                reason = item.reason
            if self._now_s() > deadline_s:
                raise BrokerError(f"no broker ({reason})", remedy="check host, port and keys")

    def bring(self, content: bytes, metadata: str = "", what: str = "") -> None:
        """Until the depot says that it keeps `content`. Raises RepositoryProblem: it refuses, or
        nothing is heard of it for a minute; what is there stays, and the next call goes on."""
        sha256 = hashlib.sha256(content).hexdigest()
        opened = encode(DepotOpen(bytes=len(content), metadata=metadata))
        sent, heard_s, asked_s = 0, self._now_s(), float("-inf")
        state: DepotState | None = None
        while True:
            now_s = self._now_s()
            if now_s - heard_s > _PATIENCE_S:
                raise RepositoryProblem(
                    f"the depot does not answer about {what or sha256[:12]}",
                    remedy="is a collector running that may write the depot? Publish again later:"
                    " `sightline model publish`",
                )
            if now_s - max(heard_s, asked_s) > _SILENCE_S or asked_s < 0:
                self._broker.publish(depot_open(self._admin, sha256), opened)
                asked_s, state = now_s, None
            item = self._broker.read(0.05)
            found = self._state(item, sha256) if isinstance(item, Arrived) else None
            if found is not None:
                if state is None:
                    sent = found.chunks
                state, heard_s = found, now_s
            if isinstance(item, Disconnected):
                state, asked_s = None, float("-inf")
            if state is None:
                continue
            if state.refused:
                raise RepositoryProblem(f"the depot refuses {what or sha256[:12]}: {state.refused}")
            if state.is_kept:
                return
            sent = self._send(sha256, content, sent, state.chunks + UPLOAD_WINDOW)

    def bring_all(
        self,
        bundles: Sequence[bytes],
        metadata: Sequence[tuple[str, bytes]],
        say: Progress = lambda _line: None,
    ) -> None:
        """Bundles first, then what points to them, the timestamp last."""
        for archive in bundles:
            sha256 = hashlib.sha256(archive).hexdigest()
            self.bring(archive, what=f"bundle {sha256[:12]}")
            say(f"bundle {sha256[:12]}, {len(archive)} bytes: in the depot")
        for name, content in metadata:
            self.bring(content, metadata=name, what=name)
        say(f"published: {', '.join(name for name, _content in metadata)}")

    def close(self) -> None:
        self._broker.stop()

    def _send(self, sha256: str, content: bytes, sent: int, up_to: int) -> int:
        """Send chunks up to number `up_to`, as far as the pipe takes them; the next to send."""
        while sent < up_to and sent * CHUNK_BYTES < len(content):
            chunk = content[sent * CHUNK_BYTES : (sent + 1) * CHUNK_BYTES]
            crc = f"{google_crc32c.value(chunk):08x}"
            topic = depot_chunk(self._admin, sha256, sent)
            if self._broker.publish(topic, chunk, properties={CRC_PROPERTY: crc}) is None:
                break
            sent += 1
        return sent

    def _state(self, item: Arrived, sha256: str) -> DepotState | None:
        if parse_down_depot(item.topic) != sha256:
            return None
        try:
            return decode(DepotState, item.payload)
        except WireError as exc:
            raise RepositoryProblem(f"the depot's answer is not understood ({exc})") from exc
