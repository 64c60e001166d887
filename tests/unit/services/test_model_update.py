"""The updater installs what is signed for this camera, whole, and says why when it does not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from agent.storage.model_shelf import Failure, Outcome, Wanted
from agent.storage.model_slots import open_bundle
from firmware_tools.keys_command import change_key
from firmware_tools.rollouts import halt, promote, push, withdraw
from firmware_tools.update_keys import load_signers, make_key
from firmware_tools.update_repository import UpdateRepository
from tests.model_bundles import write_shipped
from tests.update_rig import RepositorySource, UpdateRig
from tests.updates import MODEL, Calendar, add_bundle, make_repository, push_version, release


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def repository(tmp_path: Path, calendar: Calendar) -> UpdateRepository:
    return make_repository(tmp_path / "updates", calendar)


@pytest.fixture
def rig(tmp_path: Path, repository: UpdateRepository) -> UpdateRig:
    return UpdateRig(tmp_path / "camera", (repository.folder / "root.json").read_bytes())


def test_a_push_ends_as_a_verified_bundle_in_its_slot_that_is_wanted(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    source = RepositorySource(repository)
    assert rig.run(source).progress is not None
    assert rig.wanted == (MODEL, 2)
    assert open_bundle(rig.shelf.slot((MODEL, 2))).manifest.version == 2
    assert list(rig.shelf.incoming.iterdir()) == []
    states = [told.progress.state for told in source.told if told.progress]
    # As often as a large archive tells of its progress.
    assert list(dict.fromkeys(states)) == ["downloading", "installed"]


def test_what_is_installed_is_not_fetched_again(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    again = RepositorySource(repository)
    rig.run(again)
    assert again.asked == []


def test_a_download_that_was_cut_off_goes_on_where_it_was(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    source = RepositorySource(repository)
    source.bend_chunks = lambda chunks: {n: c for n, c in chunks.items() if n == 0} or cut_off()

    def cut_off() -> dict[int, bytes]:
        raise OSError(errno.EIO, "the power went")

    assert rig.why(source)
    again = RepositorySource(repository)
    rig.run(again)
    assert 0 not in again.asked
    assert rig.wanted == (MODEL, 2)


def test_a_camera_that_was_off_for_a_month_takes_what_is_current_when_it_comes_back(
    repository: UpdateRepository, rig: UpdateRig, calendar: Calendar
) -> None:
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    for _week in range(5):
        calendar.pass_days(6)
        repository.make_current(load_signers([repository.folder / "keys"]), changed=False)
    push_version(repository, 3)
    rig.set_clock(calendar.now)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 3)


def test_keys_may_have_changed_twice_since_the_image_was_made(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    for number in range(2):
        keyid = repository.root().signed.roles["root"].keyids[0]
        fresh = make_key(repository.folder / "keys" / f"root-new-{number}.pem")
        signers = load_signers([repository.folder / "keys"])
        change_key(repository, "root", keyid, fresh, signers)
    assert repository.root().signed.version == 3
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


# --- whom it is for -------------------------------------------------------------------------------


def test_a_push_for_other_hardware_is_refused_and_said(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2, hardware=("hailo",))
    assert rig.why(RepositorySource(repository)) == "made for hailo, this camera is onnxruntime"
    found = rig.shelf.wanted()
    assert found is not None
    assert (found.push, found.refused) == (1, "made for hailo, this camera is onnxruntime")


def test_a_halt_stops_those_who_have_it_not_and_a_new_push_goes_on(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    halt(repository, MODEL, 2, load_signers([repository.folder / "keys"]))
    assert rig.run(RepositorySource(repository)).progress is None
    assert rig.wanted is None
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


def test_promote_reaches_the_camera_that_the_percentage_left_out(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2, basis_points=100)
    rig.run(RepositorySource(repository))
    assert rig.wanted is None
    promote(repository, MODEL, 2)
    release(repository)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


def test_a_withdrawn_model_sends_the_camera_back_to_its_fallback(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    for version in (2, 3):
        push_version(repository, version)
        rig.run(RepositorySource(repository))
        rig.shelf.activate((MODEL, version))
    withdraw(repository, MODEL, 3)
    release(repository)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


def test_a_push_that_failed_on_this_camera_is_tried_again_only_when_pushed_anew(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    failure = Failure(push=1, name=MODEL, version=2, why="it gave the same score for a minute")
    rig.shelf.note(Outcome(failures=(failure,)))
    assert rig.why(RepositorySource(repository)) == "it gave the same score for a minute"
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    assert rig.wanted == (MODEL, 2)


# --- signed, and still not good -------------------------------------------------------------------


def push_folder(repository: UpdateRepository, folder: Path, version: int = 2) -> None:
    add_bundle(repository, version, folder)
    push(repository, MODEL, version)
    release(repository)


def test_a_bundle_whose_file_is_not_the_listed_one_is_refused_for_good(
    repository: UpdateRepository, rig: UpdateRig, tmp_path: Path
) -> None:
    write_shipped(tmp_path / "bad", 2)
    (tmp_path / "bad" / "head.npz").write_bytes(b"another head")
    push_folder(repository, tmp_path / "bad")
    assert "head.npz is truncated" in rig.why(RepositorySource(repository))
    again = RepositorySource(repository)
    assert "head.npz is truncated" in rig.why(again)
    assert again.asked == []


def test_a_bundle_with_a_file_nobody_listed_is_refused(
    repository: UpdateRepository, rig: UpdateRig, tmp_path: Path
) -> None:
    write_shipped(tmp_path / "bad", 2)
    (tmp_path / "bad" / "run-me.sh").write_bytes(b"#!/bin/sh\n")
    push_folder(repository, tmp_path / "bad")
    assert "run-me.sh, which its manifest does not list" in rig.why(RepositorySource(repository))


def test_a_bundle_for_a_later_agent_is_refused(
    repository: UpdateRepository, rig: UpdateRig, tmp_path: Path
) -> None:
    write_shipped(tmp_path / "late", 2, min_agent="9.0.0")
    push_folder(repository, tmp_path / "late")
    assert "needs agent 9.0.0" in rig.why(RepositorySource(repository))


def test_a_version_that_is_in_use_never_changes_its_content(
    repository: UpdateRepository, rig: UpdateRig, tmp_path: Path
) -> None:
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    rig.shelf.activate((MODEL, 2))
    push_version(repository, 3)
    rig.run(RepositorySource(repository))
    rig.shelf.activate((MODEL, 3))
    write_shipped(tmp_path / "other", 2, licence="another")
    withdraw(repository, MODEL, 3)
    release(repository)
    push_folder(repository, tmp_path / "other")
    assert "installed with other content" in rig.why(RepositorySource(repository))
    assert open_bundle(rig.shelf.slot((MODEL, 2))).manifest.licence != "another"


# --- the card -------------------------------------------------------------------------------------


def test_too_little_room_is_said_before_a_byte_is_fetched(
    repository: UpdateRepository, rig: UpdateRig
) -> None:
    push_version(repository, 2)
    rig.free_bytes = 1_500_000
    source = RepositorySource(repository)
    assert "1 MiB are free on the card" in rig.why(source)
    assert source.asked == []


def test_a_card_that_is_full_at_any_write_costs_nothing_and_is_tried_again(
    repository: UpdateRepository, rig: UpdateRig, tmp_path: Path
) -> None:
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    rig.shelf.activate((MODEL, 2))
    push_version(repository, 3)
    number = 0
    while True:
        camera = UpdateRig(tmp_path / f"try{number}", rig.root)
        os.system(f"cp -a {rig.state_dir}/. {camera.state_dir}")
        left = number

        def full(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")

        told = camera.run(RepositorySource(repository), fsync=full)
        assert told.progress is not None
        if told.progress.state == "installed":
            break
        assert told.again
        assert "No space left on device" in told.progress.why
        assert camera.shelf.linked("active") == (MODEL, 2)
        open_bundle(camera.shelf.slot((MODEL, 2)))
        camera.run(RepositorySource(repository))
        assert camera.wanted == (MODEL, 3)
        number += 1
    assert number > 20


def test_a_damaged_slot_is_fetched_anew(repository: UpdateRepository, rig: UpdateRig) -> None:
    push_version(repository, 2)
    rig.run(RepositorySource(repository))
    (rig.shelf.slot((MODEL, 2)) / "head.npz").write_bytes(b"")
    rig.run(RepositorySource(repository))
    open_bundle(rig.shelf.slot((MODEL, 2)))


def test_slots_that_nothing_needs_make_room(repository: UpdateRepository, rig: UpdateRig) -> None:
    for version in (2, 3, 4):
        push_version(repository, version)
        rig.run(RepositorySource(repository))
        rig.shelf.activate((MODEL, version))
    rig.run(RepositorySource(repository))
    assert sorted(path.name for path in rig.shelf.slot((MODEL, 4)).parent.iterdir()) == ["3", "4"]


def test_notes_on_the_card_that_are_damaged_count_as_none(rig: UpdateRig) -> None:
    rig.shelf.want(Wanted(push=1, name=MODEL, version=2))
    (rig.shelf.root / "wanted.json").write_bytes(b"{")
    (rig.shelf.root / "outcome.json").write_bytes(b"\xff")
    assert rig.shelf.wanted() is None
    assert rig.shelf.outcome() == Outcome()
    assert msgspec.to_builtins(rig.shelf.outcome())["state"] == ""
