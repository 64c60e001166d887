"""Which model a camera is to run, of all that the fleet's admins signed. Pure.

A camera belongs to a percentage of the fleet by a stable hash of its id, so that a roll-out that
grows from 10 to 50 percent keeps the cameras it began with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# Canonical JSON has no fractions: shares are hundredths of a percent.
WHOLE_FLEET = 10_000


@dataclass(frozen=True, slots=True)
class Rollout:
    """One bundle on its way to cameras. `push` rises with each push of any model: a camera tries a
    push once. No devices and no groups: the whole fleet. `hardware`: the tags it is made for."""

    push: int
    name: str
    version: int
    hardware: tuple[str, ...]
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    basis_points: int = WHOLE_FLEET
    withdrawn: bool = False

    @property
    def model(self) -> tuple[str, int]:
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class Camera:
    """What targeting goes by. `active` and `fallback`: (name, version) of the installed models."""

    device_id: str
    groups: tuple[str, ...]
    hardware: str
    active: tuple[str, int] | None = None
    fallback: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """`wanted`: (name, version) to go over to, by push number `push`; None: stay. `refused`: why
    the newest push for this camera is not followed, one line."""

    wanted: tuple[str, int] | None = None
    push: int = 0
    refused: str = ""


STAY = Choice()


def fleet_place(device_id: str) -> int:
    """Where in the fleet a camera stands: 0 <= place < WHOLE_FLEET, the same for ever."""
    digest = hashlib.sha256(device_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE_FLEET


def reaches(rollout: Rollout, device_id: str, groups: Collection[str]) -> bool:
    """True when the roll-out is for this camera, whatever its hardware."""
    named = device_id in rollout.devices or any(group in groups for group in rollout.groups)
    if (rollout.devices or rollout.groups) and not named:
        return False
    return fleet_place(device_id) < rollout.basis_points


def choose(rollouts: Iterable[Rollout], camera: Camera, halted: Collection[int] = ()) -> Choice:
    """What `camera` is to run. A halted push reaches no further camera; who runs it goes on.

    The newest push that reaches the camera wins. A version below the active one of the same model
    is taken only when the active one was withdrawn.
    """
    known = list(rollouts)
    active_withdrawn = any(r.withdrawn for r in known if r.model == camera.active)
    mine = [
        r
        for r in known
        if not r.withdrawn
        and reaches(r, camera.device_id, camera.groups)
        and (r.push not in halted or r.model == camera.active)
    ]
    newest = max(mine, key=lambda r: r.push, default=None)
    if newest is None:
        return _back(known, camera) if active_withdrawn else STAY
    if newest.model == camera.active:
        return STAY
    if camera.hardware not in newest.hardware:
        made_for = ", ".join(newest.hardware) or "nothing"
        return Choice(
            push=newest.push, refused=f"made for {made_for}, this camera is {camera.hardware}"
        )
    active = camera.active
    is_older = active is not None and newest.name == active[0] and newest.version < active[1]
    if is_older and active is not None and not active_withdrawn:
        return Choice(
            push=newest.push,
            refused=f"version {newest.version} is older than version {active[1]} that runs",
        )
    return Choice(wanted=newest.model, push=newest.push)


def _back(known: list[Rollout], camera: Camera) -> Choice:
    """The active model was withdrawn and nothing else was pushed: the fallback, if there is one."""
    push = max(r.push for r in known if r.model == camera.active)
    withdrawn = {r.model for r in known if r.withdrawn}
    fallback = camera.fallback
    if fallback is None or fallback == camera.active or fallback in withdrawn:
        return Choice(push=push, refused="withdrawn, but no other model is on this camera")
    return Choice(wanted=fallback, push=push)
