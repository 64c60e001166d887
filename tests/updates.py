"""An update repository with all its keys, and the shipped model packed in several versions."""

from __future__ import annotations

import functools
import io
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.wire.bundle_archive import write_archive
from firmware_tools.keys_command import init, settle
from firmware_tools.rollouts import push
from firmware_tools.update_keys import load_signers
from firmware_tools.update_repository import UpdateRepository
from tests.model_bundles import write_shipped

NOW = datetime(2024, 5, 1, tzinfo=UTC)
MODEL = "sightline-reference"


class Calendar:
    """The admins' clock."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


@functools.cache
def _made_once() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Nine keys and their signatures take a while; every test begins with a copy of them."""
    home = tempfile.TemporaryDirectory(prefix="sightline-updates-")
    folder = Path(home.name) / "updates"
    init(UpdateRepository(folder, Calendar()), folder / "keys")
    return home, folder


def make_repository(folder: Path, calendar: Calendar | None = None) -> UpdateRepository:
    """A fresh repository as of NOW, with nothing pushed."""
    shutil.copytree(_made_once()[1], folder)
    return UpdateRepository(folder, calendar or Calendar())


def add_bundle(repository: UpdateRepository, version: int, folder: Path | None = None) -> bytes:
    """Pack version `version`, unchecked: the shipped model, or what lies in `folder`."""
    if folder is None:
        folder = repository.folder / "sources" / str(version)
        if not folder.exists():
            write_shipped(folder, version)
    names = sorted(path.name for path in folder.iterdir())
    out = io.BytesIO()
    write_archive(out, [(name, (folder / name).read_bytes()) for name in names])
    repository.bundles_dir.mkdir(exist_ok=True)
    (repository.bundles_dir / f"{MODEL}-{version}.tar").write_bytes(out.getvalue())
    return out.getvalue()


def release(repository: UpdateRepository) -> list[str]:
    """Sign what is staged with all keys."""
    return settle(repository, load_signers([repository.folder / "keys"]))


def push_version(repository: UpdateRepository, version: int, **terms: object) -> int:
    """Pack, push and release; the push's number."""
    add_bundle(repository, version)
    found = push(repository, MODEL, version, **terms)  # type: ignore[arg-type]
    release(repository)
    return found.push


def all_signers(repository: UpdateRepository) -> dict[str, object]:
    """All keys of the repository, by id."""
    return dict(load_signers([repository.folder / "keys"]))
