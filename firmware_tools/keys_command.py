"""`sightline keys`: makes, changes and revokes the keys that sign model updates."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
)

from agent.storage import atomic
from agent.wire.rollout import HALTS_PATTERN, HALTS_ROLE
from firmware_tools.update_keys import Signers, load_signers, make_key
from firmware_tools.update_repository import RepositoryProblem, UpdateRepository

SUMMARY = "keys that sign model updates: make, change, revoke"
ROLES = ("root", "targets", "snapshot", "timestamp", HALTS_ROLE)
_SHARED = {"root": 3, "targets": 3}
_THRESHOLD = 2
Now = Callable[[], datetime]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser("init", help="make all keys, and the first root for the image")
    init.set_defaults(run=lambda options: _init(repository_of(options), keys_of(options)))
    for name, what in (
        ("rotate", "put a new key in the place of one"),
        ("revoke", "take a key away: nothing it signs counts any more"),
        ("list", "who signs what"),
    ):
        command = commands.add_parser(name, help=what)
        command.set_defaults(run=_list if name == "list" else _change)
        if name == "list":
            continue
        command.add_argument("role", choices=ROLES)
        command.add_argument("keyid", metavar="KEYID", help="its first characters, see `keys list`")
    for command in commands.choices.values():
        add_repository_options(command)


def add_repository_options(parser: argparse.ArgumentParser) -> None:
    """`--repository` and `--keys`, the same for all commands of the update repository."""
    parser.add_argument(
        "--repository", type=Path, default=Path("updates"), metavar="DIR", help="default: ./updates"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        action="append",
        metavar="DIR",
        help="a folder of private keys at hand; may be repeated (default: DIR/keys)",
    )


def repository_of(
    options: argparse.Namespace, now: Now = lambda: datetime.now(UTC)
) -> UpdateRepository:
    return UpdateRepository(options.repository, now)


def keys_of(options: argparse.Namespace) -> list[Path]:
    return options.keys or [options.repository / "keys"]


def _init(repository: UpdateRepository, folders: list[Path]) -> int:
    init(repository, folders[0])
    print(f"keys in {folders[0]}: keep root-*.pem offline, give targets-*.pem to one admin each")
    print(f"{repository.folder / 'root.json'} goes into the image of every camera")
    return 0


def init(repository: UpdateRepository, keys_dir: Path) -> None:
    """Make the keys and the first, empty, version of everything. Raises RepositoryProblem,
    KeyFileError."""
    if repository.exists:
        raise RepositoryProblem(f"{repository.folder} holds a repository already")
    made: dict[str, list[CryptoSigner]] = {}
    for role in ROLES:
        count = _SHARED.get(role, 1)
        names = [f"{role}-{n}" for n in range(1, count + 1)] if count > 1 else [role]
        made[role] = [make_key(keys_dir / f"{name}.pem") for name in names]
    root = Root(version=1, expires=repository.expiry("root"), consistent_snapshot=True)
    for role, signers in made.items():
        if role == HALTS_ROLE:
            continue
        for signer in signers:
            root.add_key(signer.public_key, role)
        root.roles[role].threshold = _THRESHOLD if role in _SHARED else 1
    online = {s.public_key.keyid: s for role in ROLES[2:] for s in made[role]}
    signed = Metadata(root)
    for signer in made["root"][:_THRESHOLD]:
        signed.sign(signer, append=True)
    repository.write(repository.metadata_dir / "1.root.json", signed)
    atomic.write_file(repository.folder / "root.json", signed.to_bytes(), mode=0o644)
    _first_targets(repository, made)
    halts = Targets(version=1, expires=repository.expiry(HALTS_ROLE))
    repository.sign_online(HALTS_ROLE, halts, online)
    metas = {"targets.json": MetaFile(1), f"{HALTS_ROLE}.json": MetaFile(1)}
    body = Snapshot(version=1, expires=repository.expiry("snapshot"), meta=metas)
    repository.sign_online("snapshot", body, online)
    repository.make_current(online, changed=False)


def _first_targets(repository: UpdateRepository, made: dict[str, list[CryptoSigner]]) -> None:
    key = made[HALTS_ROLE][0].public_key
    role = DelegatedRole(HALTS_ROLE, [key.keyid], 1, True, paths=[HALTS_PATTERN])
    targets = Targets(
        version=1,
        expires=repository.expiry("targets"),
        delegations=Delegations({key.keyid: key}, {HALTS_ROLE: role}),
    )
    signed = Metadata(targets)
    for signer in made["targets"][:_THRESHOLD]:
        signed.sign(signer, append=True)
    repository.write(repository.metadata_dir / "1.targets.json", signed)


def _list(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    root, targets = repository.root().signed, repository.targets().signed
    at_hand = load_signers(keys_of(options))
    for role in ROLES:
        holder = targets if role == HALTS_ROLE else root
        named = holder.get_delegated_role(role)
        print(f"{role}: {named.threshold} of {len(named.keyids)}")
        for keyid in named.keyids:
            print(f"  {keyid[:16]}{'  at hand' if keyid in at_hand else ''}")
    return 0


def _change(options: argparse.Namespace) -> int:
    repository, folders = repository_of(options), keys_of(options)
    signers = load_signers(folders)
    fresh = None
    if options.command == "rotate":
        number = repository.root().signed.version + 1
        fresh = make_key(folders[0] / f"{options.role}-new-{number}.pem")
        signers[fresh.public_key.keyid] = fresh
    for line in change_key(repository, options.role, options.keyid, fresh, signers):
        print(line)
    return 0


def change_key(
    repository: UpdateRepository,
    role: str,
    keyid: str,
    fresh: CryptoSigner | None,
    signers: Signers,
) -> list[str]:
    """Take the key `keyid` (its first characters) from `role`, put `fresh` in its place, and sign
    with what is at hand; what was done and what is missing. Raises RepositoryProblem."""
    holder = "targets" if role == HALTS_ROLE else "root"
    changed: Root | Targets
    if holder == "targets":
        changed = repository.next_of(repository.targets(), holder)
    else:
        changed = repository.next_of(repository.root(), holder)
    named = changed.get_delegated_role(role)
    matching = [each for each in named.keyids if each.startswith(keyid)]
    if len(matching) != 1:
        raise RepositoryProblem(
            f"{len(matching)} keys of role {role} begin with {keyid[:16]!r}",
            remedy="see `sightline keys list`",
        )
    if fresh is None and len(named.keyids) <= named.threshold:
        raise RepositoryProblem(
            f"role {role} needs {named.threshold} keys and has {len(named.keyids)}",
            remedy="rotate the key instead: that puts a new one in its place",
        )
    if fresh is not None:
        changed.add_key(fresh.public_key, role)
    changed.revoke_key(matching[0], role)
    repository.stage(holder, changed)
    _keep_targets_valid(repository, role)
    return settle(repository, signers)


def _keep_targets_valid(repository: UpdateRepository, role: str) -> None:
    """Targets that a revoked key signed must be signed anew by those that are left."""
    if role == "targets" and repository.staged("targets") is None:
        repository.stage("targets", repository.next_of(repository.targets(), "targets"))


def settle(repository: UpdateRepository, signers: Signers) -> list[str]:
    """Sign what is staged; when all is complete, make it current. One line for each step."""
    lines = []
    for role, (have, need) in repository.sign_staged(signers).items():
        state = "released" if have >= need else "waits for another admin: `sightline model sign`"
        lines.append(f"{role}: {have} of {need} signatures, {state}")
    if repository.staged("root") is None and repository.staged("targets") is None:
        repository.make_current(signers, changed=True)
        lines.append("current: snapshot and timestamp are signed")
    return lines
