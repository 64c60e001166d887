"""Brokers, depots, thieves and clocks that lie: the updater refuses each with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from agent.wire.depot import CHUNK_BYTES
from firmware_tools.keys_command import change_key
from firmware_tools.update_keys import load_signers
from firmware_tools.update_repository import UpdateRepository
from tests.update_rig import RepositorySource, UpdateRig
from tests.updates import MODEL, NOW, Calendar, all_signers, make_repository, push_version


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def repository(tmp_path: Path, calendar: Calendar) -> UpdateRepository:
    return make_repository(tmp_path / "updates", calendar)


@pytest.fixture
def rig(tmp_path: Path, repository: UpdateRepository) -> UpdateRig:
    return UpdateRig(tmp_path / "camera", (repository.folder / "root.json").read_bytes())


def tampered_chunk(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_chunks = lambda chunks: {n: b"\0" + c[1:] for n, c in chunks.items()}


def truncated_target(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_chunks = lambda chunks: {n: c[:-1] for n, c in chunks.items()}


def endless_target(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_chunks = lambda chunks: {n: c + b"more" for n, c in chunks.items()}


def chunks_nobody_asked_for(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_chunks = lambda _chunks: {10**6: b"x" * CHUNK_BYTES}


def edited(role: str, change: Callable[[dict[str, object]], None]) -> Callable[..., None]:
    def edit(source: RepositorySource, _repository: UpdateRepository) -> None:
        def bend(name: str, content: bytes | None) -> bytes | None:
            if content is None or not name.startswith(role):
                return content
            loaded = json.loads(content)
            change(loaded)
            return json.dumps(loaded).encode()

        source.bend_metadata = bend

    return edit


def no_signatures(loaded: dict[str, object]) -> None:
    loaded["signatures"] = []


def one_signature(loaded: dict[str, object]) -> None:
    loaded["signatures"] = loaded["signatures"][:1]  # type: ignore[index]


def same_key_twice(loaded: dict[str, object]) -> None:
    loaded["signatures"] = [loaded["signatures"][0]] * 2  # type: ignore[index]


def same_signature_under_two_names(loaded: dict[str, object]) -> None:
    first, second = loaded["signatures"][:2]  # type: ignore[index]
    loaded["signatures"] = [first, {"keyid": second["keyid"], "sig": first["sig"]}]


def another_hash(loaded: dict[str, object]) -> None:
    for target in loaded["signed"]["targets"].values():  # type: ignore[index]
        target["hashes"]["sha256"] = "0" * 64


def mixed(source: RepositorySource, repository: UpdateRepository) -> None:
    """The targets of another moment than the snapshot says."""
    first = (repository.metadata_dir / "1.targets.json").read_bytes()
    source.bend_metadata = lambda name, content: first if name.startswith("targets") else content


def not_json(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_metadata = lambda name, content: b"[" * 9999 if name == "timestamp" else content


def endless_metadata(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_metadata = lambda name, c: b" " * 10**6 if name.startswith("snapshot") else c


def missing(source: RepositorySource, _repository: UpdateRepository) -> None:
    source.bend_metadata = lambda name, c: None if name.startswith("snapshot") else c


ATTACKS: list[tuple[Callable[..., None], str]] = [
    (tampered_chunk, "another SHA-256"),
    (truncated_target, "bytes, .* are due"),
    (endless_target, "bytes, .* are due"),
    (chunks_nobody_asked_for, "are due"),
    (edited("targets", no_signatures), "targets was signed by 0/2 keys"),
    (edited("targets", one_signature), "targets was signed by 1/2 keys"),
    (edited("targets", same_key_twice), "metadata refused"),
    (edited("targets", same_signature_under_two_names), "targets was signed by 1/2 keys"),
    (edited("targets", another_hash), "targets was signed by 0/2 keys"),
    (edited("snapshot", no_signatures), "snapshot was signed by 0/1 keys"),
    (edited("timestamp", no_signatures), "timestamp was signed by 0/1 keys"),
    (edited("halts", no_signatures), "halts was signed by 0/1 keys"),
    (mixed, "Expected targets v2, got v1"),
    (not_json, "metadata refused"),
    (endless_metadata, "cannot be had"),
    (missing, "snapshot-2 is not published"),
]


@pytest.mark.parametrize(("attack", "why"), ATTACKS)
def test_what_is_not_just_what_the_admins_signed_is_refused_with_the_reason(
    repository: UpdateRepository, rig: UpdateRig, attack: Callable[..., None], why: str
) -> None:
    push_version(repository, 2)
    source = RepositorySource(repository)
    attack(source, repository)
    assert re.search(why, rig.why(source))
    assert rig.wanted is None
    assert not rig.shelf.slot((MODEL, 2)).exists()
    rig.run(RepositorySource(repository))  # and an honest answer repairs it
    assert rig.wanted == (MODEL, 2)


def test_a_key_that_was_revoked_signs_nothing_any_more(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    old = repository.targets()
    keyids = list(repository.root().signed.roles["targets"].keyids)
    change_key(repository, "targets", keyids[0], None, all_signers(repository))  # type: ignore[arg-type]
    source = RepositorySource(repository)
    current = repository.targets().signed.version
    # A thief with the revoked key and one other makes the newest targets his own.
    thief: Metadata = Metadata(old.signed)  # type: ignore[type-arg]
    thief.signed.version = current
    signers = load_signers([repository.folder / "keys"])
    for keyid in keyids[:2]:
        thief.sign(signers[keyid], append=True)
    source.published[f"targets-{current}"] = thief.to_bytes()
    assert "targets was signed by 1/2 keys" in rig.why(source)


def test_an_older_state_of_the_fleet_is_refused_once_a_newer_one_was_seen(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    before = RepositorySource(repository)
    push_version(repository, 3)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 3)
    assert "metadata refused" in rig.why(before)
    assert rig.wanted == (MODEL, 3)


def test_an_older_timestamp_over_newer_metadata_is_refused_too(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    old_timestamp = (repository.metadata_dir / "timestamp.json").read_bytes()
    push_version(repository, 3)
    rig.run(RepositorySource(repository))
    mixed_up = RepositorySource(repository)
    mixed_up.published["timestamp"] = old_timestamp
    assert "version" in rig.why(mixed_up)


# --- clocks ---------------------------------------------------------------------------------------


def test_expired_metadata_is_refused_with_both_ways_out(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    rig.set_clock(NOW + timedelta(days=8))
    assert "timestamp.json is expired, judged on 2024-05-09" in rig.why(
        RepositorySource(repository)
    )


def test_a_clock_set_back_does_not_bring_expired_metadata_to_life(
    repository: UpdateRepository, rig: UpdateRig, calendar: Calendar
) -> None:
    push_version(repository, 2)
    frozen = RepositorySource(repository)
    calendar.pass_days(20)
    repository.make_current(load_signers([repository.folder / "keys"]), changed=False)
    rig.set_clock(calendar.now)
    rig.run(RepositorySource(repository))
    rig.set_clock(NOW - timedelta(days=20_000), is_trusted=False)
    thawed = UpdateRig(rig.state_dir, rig.root)
    thawed.set_clock(NOW, is_trusted=False)
    for file in (rig.state_dir / "tuf").glob("*.json"):
        if file.name != "floor.json":
            file.unlink()  # even when nothing but the floor is left
    assert "expired" in thawed.why(frozen)


def test_a_camera_without_a_clock_takes_current_metadata(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    rig.clock.correct_wall(0, "untrusted")
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


def test_the_library_still_judges_expiry_by_the_time_it_is_given(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    """No public hook sets it: another version of the library must not silently go by the clock."""
    rig.set_clock(NOW + timedelta(days=400))
    assert "expired" in rig.why(RepositorySource(repository))
    rig.set_clock(NOW)  # the real clock is years later
    assert rig.run(RepositorySource(repository)).progress is None
