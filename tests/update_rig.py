"""One camera's updater against an admin's repository, without network or process: every answer can
be bent on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.config import Device, Paths, Retention, Settings, Tagger
from agent.crypto.update_trust import UpdateTrust
from agent.errors import UpdateError
from agent.ipc.update_messages import Told
from agent.services.model_update import ModelUpdate
from agent.storage.atomic import Fsync
from agent.storage.model_shelf import ModelShelf
from agent.wire.depot import CHUNK_BYTES
from firmware_tools.rollouts import bundles_to_publish
from firmware_tools.update_repository import UpdateRepository
from tests.clock import ManualClock
from tests.updates import NOW

Chunks = dict[int, bytes]


class RepositorySource:
    """Answers from the repository. `bend_metadata(name, content)` and `bend_chunks(chunks)` change
    what arrives."""

    def __init__(self, repository: UpdateRepository) -> None:
        self.published = dict(repository.publication())
        self.bundles = {
            hashlib.sha256(each).hexdigest(): each for each in bundles_to_publish(repository)
        }
        self.bend_metadata: Callable[[str, bytes | None], bytes | None] = lambda _n, content: (
            content
        )
        self.bend_chunks: Callable[[Chunks], Chunks] = lambda chunks: chunks
        self.asked: list[int] = []
        self.told: list[Told] = []

    def metadata(self, name: str) -> bytes | None:
        return self.bend_metadata(name, self.published.get(name))

    def chunks(self, sha256: str, numbers: tuple[int, ...]) -> Chunks:
        self.asked.extend(numbers)
        if sha256 not in self.bundles:
            raise UpdateError("the depot does not have it")
        content = self.bundles[sha256]
        cut = {n: content[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES] for n in numbers}
        return self.bend_chunks(cut)

    def tell(self, told: Told) -> None:
        self.told.append(told)


class UpdateRig:
    """A camera's card in `folder`, and its clock."""

    def __init__(self, folder: Path, root: bytes, **device: object) -> None:
        self.state_dir = folder
        folder.mkdir(parents=True, exist_ok=True)
        words: dict[str, object] = {"device_id": "cam01", "kind": "desk"}
        self.settings = Settings(
            device=Device(**(words | device)),  # type: ignore[arg-type]
            paths=Paths(state_dir=folder, runtime_dir=folder / "run"),
            tagger=Tagger(),
            retention=Retention(min_free_bytes=0),
        )
        self.root = root
        self.clock = ManualClock(wall_ns=int(NOW.timestamp()) * 10**9)
        self.free_bytes = 1 << 40
        self.agent_version = "0.1.0"
        self.shelf = ModelShelf(folder)

    @property
    def wanted(self) -> tuple[str, int] | None:
        """The model that the tagger is to go over to, unless it was refused."""
        found = self.shelf.wanted()
        return None if found is None or found.refused else found.model

    def set_clock(self, when: datetime, *, is_trusted: bool = True) -> None:
        wall_ns = int(when.astimezone(UTC).timestamp()) * 10**9
        self.clock.correct_wall(wall_ns, "trusted" if is_trusted else "untrusted")

    def run(self, source: RepositorySource, fsync: Fsync = lambda _descriptor: None) -> Told:
        """One run of the updater."""
        shelf = ModelShelf(self.state_dir, fsync=fsync)
        trust = UpdateTrust(self.state_dir / "tuf", self.root, source.metadata, fsync=fsync)
        return ModelUpdate(
            self.settings,
            source=source,
            trust=trust,
            shelf=shelf,
            clock=self.clock,
            agent_version=self.agent_version,
            free_bytes=lambda: self.free_bytes,
        ).run()

    def why(self, source: RepositorySource) -> str:
        """Why it does not go on."""
        told = self.run(source)
        assert told.progress is not None
        assert told.progress.state in ("failed", "refused"), told
        return told.progress.why
