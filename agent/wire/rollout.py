"""What the admins sign about a bundle: the `custom` part of its TUF target. Names of targets."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from agent.core.model_targeting import WHOLE_FLEET, Rollout
from agent.errors import WireError
from agent.wire.model_manifest import Name

SCHEMA = 1
KEY = "sightline"
HALTS_ROLE = "halts"
HALTS_PATTERN = "halt/*"
# Signed by the timestamp's key, beside its expiry: when it was made, Unix nanoseconds.
ISSUED_FIELD = "x-sightline-issued-ns"

Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Tags = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=64)]
BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=WHOLE_FLEET)]
DeviceIds = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=5000)]


class RolloutTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Signed by the targets role. Shares in hundredths of a percent. `halt_above`: of the cameras
    that tried it, so many may fail before it is halted by itself; None: an admin decides.
    `shadow_minutes` and `agree_above`: see storage.model_shelf.Wanted."""

    schema: int = SCHEMA
    push: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    hardware: Tags
    devices: DeviceIds = ()
    groups: Tags = ()
    basis_points: BasisPoints = WHOLE_FLEET
    halt_above: BasisPoints | None = None
    shadow_minutes: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    agree_above: BasisPoints | None = None
    withdrawn: bool = False

    @property
    def line(self) -> str:
        """One line for people."""
        to = [f"device {name}" for name in self.devices] + [f"group {name}" for name in self.groups]
        words = f"push {self.push}: {self.name} {self.version} for {', '.join(self.hardware)}"
        words += f", {self.basis_points / 100:g} % of {', '.join(to) or 'the fleet'}"
        if self.halt_above is not None:
            words += f", halted above {self.halt_above / 100:g} % failures"
        if self.shadow_minutes:
            then = "by an admin" if self.agree_above is None else f"at {self.agree_above / 100:g} %"
            words += f", {self.shadow_minutes} min of shadow, promoted {then}"
        return f"{words}, withdrawn" if self.withdrawn else words

    def rollout(self) -> Rollout:
        """The same words for the rule that chooses."""
        return Rollout(
            push=self.push,
            name=self.name,
            version=self.version,
            hardware=self.hardware,
            devices=self.devices,
            groups=self.groups,
            basis_points=self.basis_points,
            withdrawn=self.withdrawn,
        )


def target_path(name: str, version: int) -> str:
    return f"models/{name}/{version}.tar"


def halt_path(push: int) -> str:
    return f"halt/{push}"


def to_custom(terms: RolloutTerms) -> dict[str, Any]:
    return {KEY: msgspec.to_builtins(terms)}


def from_custom(custom: Any, path: str) -> RolloutTerms:
    """The terms of the target at `path`. Raises WireError when they are missing, of a schema this
    program does not know, out of range, or of another target."""
    try:
        terms = msgspec.convert(custom[KEY], RolloutTerms)
    except (msgspec.ValidationError, KeyError, TypeError) as exc:
        raise WireError(f"target {path[:120]} has no usable terms ({exc})") from exc
    if terms.schema != SCHEMA:
        raise WireError(f"target {path[:120]}: terms of schema {terms.schema} are not known here")
    if path != target_path(terms.name, terms.version):
        raise WireError(f"target {path[:120]}: its terms are of {terms.name} {terms.version}")
    return terms
