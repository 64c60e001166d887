"""The admins' side: thresholds, roll-outs, keys that come and go."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from agent.errors import AgentError
from firmware_tools.keys_command import change_key, settle
from firmware_tools.rollouts import (
    bundles_to_publish,
    halt,
    halted_pushes,
    newest_pushed,
    promote,
    push,
    rollouts_in,
    withdraw,
)
from firmware_tools.sightline import main
from firmware_tools.update_keys import Signers, load_signers, make_key
from firmware_tools.update_repository import RepositoryProblem, UpdateRepository
from tests.updates import MODEL, Calendar, add_bundle, make_repository, push_version, release


@pytest.fixture
def repository(tmp_path: Path) -> UpdateRepository:
    return make_repository(tmp_path / "updates")


def signers_named(repository: UpdateRepository, *stems: str) -> Signers:
    """Those whose files begin so."""
    every = load_signers([repository.folder / "keys"])
    wanted = {
        keyid
        for file in (repository.folder / "keys").glob("*.pem")
        if file.stem.startswith(stems)
        for keyid, signer in every.items()
        if signer.private_bytes == file.read_bytes()
    }
    return {keyid: every[keyid] for keyid in wanted}


ONLINE = ("snapshot", "timestamp", "halts")


def terms_of(repository: UpdateRepository) -> list[str]:
    return [terms.line for terms in rollouts_in(repository.targets().signed)]


def test_one_admin_alone_releases_nothing_and_a_second_completes_it(
    repository: UpdateRepository,
) -> None:
    add_bundle(repository, 2)
    push(repository, MODEL, 2)
    said = settle(repository, signers_named(repository, "targets-1", *ONLINE))
    assert said == ["targets: 1 of 2 signatures, waits for another admin: `sightline model sign`"]
    assert terms_of(repository) == []
    settle(repository, signers_named(repository, "targets-1"))  # the same admin again
    assert terms_of(repository) == []
    said = settle(repository, signers_named(repository, "targets-3", *ONLINE))
    assert said[0] == "targets: 2 of 2 signatures, released"
    assert len(terms_of(repository)) == 1


def test_what_is_staged_loses_its_signatures_when_it_changes(repository: UpdateRepository) -> None:
    add_bundle(repository, 2)
    add_bundle(repository, 3)
    push(repository, MODEL, 2)
    settle(repository, signers_named(repository, "targets-1"))
    push(repository, MODEL, 3)
    said = settle(repository, signers_named(repository, "targets-2"))
    assert said[0].startswith("targets: 1 of 2 signatures, waits")


def test_pushes_are_numbered_and_a_version_pushed_anew_gets_a_new_number(
    repository: UpdateRepository,
) -> None:
    assert [push_version(repository, version) for version in (2, 3, 3)] == [1, 2, 3]
    assert [terms.push for terms in rollouts_in(repository.targets().signed)] == [3, 1]


def test_a_halt_uses_up_its_number(repository: UpdateRepository) -> None:
    push_version(repository, 2)
    halt(repository, MODEL, 2, signers_named(repository, *ONLINE))
    assert halted_pushes(repository) == {1}
    assert push_version(repository, 2) == 2


def test_promote_widens_and_keeps_the_number_withdraw_takes_back(
    repository: UpdateRepository,
) -> None:
    push_version(repository, 2, basis_points=1000)
    assert promote(repository, MODEL, 2).basis_points == 10_000
    release(repository)
    assert newest_pushed(repository, MODEL).push == 1
    withdraw(repository, MODEL, 2)
    release(repository)
    assert bundles_to_publish(repository) == []
    with pytest.raises(RepositoryProblem, match="no version of"):
        newest_pushed(repository, MODEL)


def test_an_older_version_is_not_pushed_over_a_newer_one(repository: UpdateRepository) -> None:
    push_version(repository, 3)
    add_bundle(repository, 2)
    with pytest.raises(RepositoryProblem, match=r"older than version 3.*rollback"):
        push(repository, MODEL, 2)


def test_a_bundle_that_changed_since_it_was_signed_is_not_published(
    repository: UpdateRepository,
) -> None:
    push_version(repository, 2)
    file = repository.bundles_dir / f"{MODEL}-2.tar"
    file.write_bytes(file.read_bytes() + b"\0" * 512)
    with pytest.raises(RepositoryProblem, match="not the one that was signed"):
        bundles_to_publish(repository)


def test_a_new_root_is_signed_by_old_and_new_and_targets_stay_valid(
    repository: UpdateRepository,
) -> None:
    push_version(repository, 2)
    signers = dict(load_signers([repository.folder / "keys"]))
    stolen = repository.root().signed.roles["targets"].keyids[0]
    fresh = make_key(repository.folder / "keys" / "targets-new.pem")
    signers[fresh.public_key.keyid] = fresh
    del signers[stolen]
    said = change_key(repository, "targets", stolen[:12], fresh, signers)
    assert said[0] == "root: 3 of 2 signatures, released"
    root: Root = repository.root().signed
    assert root.version == 2
    assert stolen not in root.roles["targets"].keyids
    repository.verify("targets", repository.targets())
    old = Metadata[Root].from_file(str(repository.metadata_dir / "1.root.json"))
    old.verify_delegate("root", repository.root())


def test_one_root_key_alone_changes_no_root(repository: UpdateRepository) -> None:
    keyid = repository.root().signed.roles["targets"].keyids[0]
    one = signers_named(repository, "root-1", "targets", *ONLINE)
    said = change_key(repository, "targets", keyid, None, one)
    assert said[0].startswith("root: 1 of 2 signatures, waits")
    assert repository.root().signed.version == 1


def test_the_last_keys_of_a_threshold_are_not_taken_away(repository: UpdateRepository) -> None:
    signers = load_signers([repository.folder / "keys"])
    keyids = list(repository.root().signed.roles["targets"].keyids)
    change_key(repository, "targets", keyids[0], None, signers)
    with pytest.raises(RepositoryProblem, match=r"needs 2 keys and has 2.*rotate"):
        change_key(repository, "targets", keyids[1], None, signers)


def test_the_halts_key_changes_without_touching_the_root(repository: UpdateRepository) -> None:
    signers = dict(load_signers([repository.folder / "keys"]))
    keyid = repository.targets().signed.get_delegated_role("halts").keyids[0]
    fresh = make_key(repository.folder / "keys" / "halts-new.pem")
    signers[fresh.public_key.keyid] = fresh
    change_key(repository, "halts", keyid, fresh, signers)
    assert repository.root().signed.version == 1
    repository.verify("halts", repository.halts())


def test_the_timer_renews_what_would_expire_without_the_admins(tmp_path: Path) -> None:
    calendar = Calendar()
    repository = make_repository(tmp_path / "updates", calendar)
    online = signers_named(repository, *ONLINE)
    for _day in range(30):
        calendar.pass_days(3)
        repository.make_current(online, changed=False)
    names = [name for name, _content in repository.publication()]
    assert names[0] == "root-1"
    assert names[-1] == "timestamp"
    assert "targets-1" in names
    assert not repository.halts().signed.is_expired(calendar.now)


def test_what_is_published_comes_before_what_points_to_it(repository: UpdateRepository) -> None:
    push_version(repository, 2)
    names = [name for name, _content in repository.publication()]
    assert names == ["root-1", "targets-2", "halts-1", "snapshot-2", "timestamp"]


def test_private_keys_are_nobody_elses_to_read(repository: UpdateRepository) -> None:
    modes = {file.stat().st_mode & 0o777 for file in (repository.folder / "keys").iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize(
    "words",
    [
        ["model", "push", "nothing", "1"],
        ["model", "sign"],
        ["keys", "revoke", "root", "ffff"],
        ["model", "halt", "nothing", "1"],
    ],
)
def test_commands_refuse_with_one_line(
    repository: UpdateRepository, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--repository", str(repository.folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sightline: ")
    assert said.count("\n") == 1


def test_a_key_file_of_another_kind_is_named(repository: UpdateRepository) -> None:
    (repository.folder / "keys" / "odd.pem").write_text("no key")
    with pytest.raises(AgentError, match=r"odd\.pem"):
        load_signers([repository.folder / "keys"])
