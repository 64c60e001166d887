"""What admins change about roll-outs: each change makes the next version of the signed targets."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO

import msgspec
from tuf.api.metadata import TargetFile, Targets

from agent.core.model_targeting import WHOLE_FLEET
from agent.errors import WireError
from agent.wire.bundle_archive import MANIFEST_NAME, read_archive
from agent.wire.model_manifest import MAX_MANIFEST_BYTES, ModelManifest, load_manifest
from agent.wire.rollout import (
    HALTS_ROLE,
    RolloutTerms,
    from_custom,
    halt_path,
    target_path,
    to_custom,
)
from firmware_tools.update_keys import Signers
from firmware_tools.update_repository import RepositoryProblem, UpdateRepository, target_of


def rollouts_in(targets: Targets) -> list[RolloutTerms]:
    """All roll-outs, newest push first. Raises RepositoryProblem."""
    try:
        found = [from_custom(t.custom, path) for path, t in targets.targets.items()]
    except WireError as exc:
        raise RepositoryProblem(exc.what) from exc
    return sorted(found, key=lambda terms: -terms.push)


def halted_pushes(repository: UpdateRepository) -> set[int]:
    return {int(path.removeprefix("halt/")) for path in repository.halts().signed.targets}


def push(
    repository: UpdateRepository,
    name: str,
    version: int,
    *,
    hardware: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    basis_points: int = WHOLE_FLEET,
    halt_above: int | None = None,
    shadow_minutes: int = 0,
    agree_above: int | None = None,
) -> RolloutTerms:
    """Stage a roll-out of the packed bundle; a new push of one that was pushed before is tried
    anew. `hardware`: by default the backends that it has artifacts for. Raises RepositoryProblem.
    """
    archive = bundle_bytes(repository, name, version)
    manifest = _manifest_in(archive)
    if (manifest.name, manifest.version) != (name, version):
        raise RepositoryProblem(
            f"the bundle packed as {name}-{version} says it is {manifest.name} {manifest.version}"
        )
    targets = _next(repository)
    known = rollouts_in(targets)
    for other in known:
        if other.name == name and other.version > version and not other.withdrawn:
            raise RepositoryProblem(
                f"{name} {version} is older than version {other.version}, which is pushed",
                remedy=f"take that back first: `sightline model rollback {name}`",
            )
    backends = tuple(dict.fromkeys(each.backend for each in manifest.backbone.artifacts))
    terms = RolloutTerms(
        push=_next_push(repository, known),
        name=name,
        version=version,
        hardware=hardware or backends,
        devices=devices,
        groups=groups,
        basis_points=basis_points,
        halt_above=halt_above,
        shadow_minutes=shadow_minutes,
        agree_above=agree_above,
    )
    path = target_path(name, version)
    targets.targets[path] = target_of(path, archive, to_custom(_checked(terms)))
    repository.stage("targets", targets)
    return terms


def change(
    repository: UpdateRepository,
    name: str,
    version: int,
    how: Callable[[RolloutTerms], RolloutTerms],
) -> RolloutTerms:
    """Stage other terms for a bundle that is pushed. Raises RepositoryProblem."""
    targets = _next(repository)
    path = target_path(name, version)
    target = targets.targets.get(path)
    if target is None:
        raise RepositoryProblem(
            f"{name} {version} is not pushed", remedy="see `sightline model status`"
        )
    terms = how(from_custom(target.custom, path))
    target.unrecognized_fields["custom"] = to_custom(_checked(terms))
    repository.stage("targets", targets)
    return terms


def promote(repository: UpdateRepository, name: str, version: int) -> RolloutTerms:
    """The whole of the devices and groups that it was pushed to; out of the shadow."""
    words = {"basis_points": WHOLE_FLEET, "shadow_minutes": 0}
    return change(repository, name, version, lambda t: msgspec.structs.replace(t, **words))


def withdraw(repository: UpdateRepository, name: str, version: int) -> RolloutTerms:
    """Cameras that run it go back; no other takes it."""
    return change(repository, name, version, lambda t: msgspec.structs.replace(t, withdrawn=True))


def newest_pushed(repository: UpdateRepository, name: str) -> RolloutTerms:
    """Raises RepositoryProblem when no version of `name` is out."""
    for terms in rollouts_in(repository.targets().signed):
        if terms.name == name and not terms.withdrawn:
            return terms
    raise RepositoryProblem(f"no version of {name} is pushed")


def halt(repository: UpdateRepository, name: str, version: int, signers: Signers) -> RolloutTerms:
    """Stop a roll-out at once, with the halts' key alone. Who runs it goes on; nobody else takes
    it, until it is pushed anew. Raises RepositoryProblem."""
    for terms in rollouts_in(repository.targets().signed):
        if (terms.name, terms.version) == (name, version):
            break
    else:
        raise RepositoryProblem(f"{name} {version} is not pushed")
    halts = repository.next_of(repository.halts(), HALTS_ROLE)
    path = halt_path(terms.push)
    halts.targets[path] = TargetFile.from_data(path, b"halt", ["sha256"])
    repository.sign_online(HALTS_ROLE, halts, signers)
    repository.make_current(signers, changed=True)
    return terms


def bundle_bytes(repository: UpdateRepository, name: str, version: int) -> bytes:
    """Raises RepositoryProblem when it is not packed."""
    file = repository.bundles_dir / f"{name}-{version}.tar"
    try:
        return file.read_bytes()
    except OSError as exc:
        raise RepositoryProblem(
            f"{file} cannot be read ({exc.strerror})",
            remedy="make it with `sightline model pack FOLDER`",
        ) from exc


def bundles_to_publish(repository: UpdateRepository) -> list[bytes]:
    """The archives that cameras may ask for. Raises RepositoryProblem when one is not the one that
    was signed."""
    found = []
    targets = repository.targets().signed.targets
    for terms in rollouts_in(repository.targets().signed):
        if terms.withdrawn:
            continue
        archive = bundle_bytes(repository, terms.name, terms.version)
        signed = targets[target_path(terms.name, terms.version)]
        fresh = TargetFile.from_data(signed.path, archive, ["sha256"])
        if fresh.hashes != signed.hashes:
            raise RepositoryProblem(
                f"the packed {terms.name} {terms.version} is not the one that was signed",
                remedy="pack it again from the same folder, or push it anew",
            )
        found.append(archive)
    return found


def _next(repository: UpdateRepository) -> Targets:
    """What is staged, to be changed further (its signatures go), or the next version."""
    staged = repository.staged("targets")
    if staged is not None:
        further: Targets = staged.signed
        return further
    return repository.next_of(repository.targets(), "targets")


def _next_push(repository: UpdateRepository, known: list[RolloutTerms]) -> int:
    halted = halted_pushes(repository)
    return 1 + max([0, *(terms.push for terms in known), *halted])


def _checked(terms: RolloutTerms) -> RolloutTerms:
    """What cameras will accept. Raises RepositoryProblem."""
    try:
        return msgspec.convert(msgspec.to_builtins(terms), RolloutTerms)
    except msgspec.ValidationError as exc:
        raise RepositoryProblem(f"roll-out of {terms.name} {terms.version}: {exc}") from exc


def _manifest_in(archive: bytes) -> ModelManifest:
    found: dict[str, bytes] = {}

    def take(name: str, content: IO[bytes]) -> None:
        if name == MANIFEST_NAME:
            found[name] = content.read(MAX_MANIFEST_BYTES + 1)

    read_archive(io.BytesIO(archive), take)
    return load_manifest(found.get(MANIFEST_NAME, b""))
