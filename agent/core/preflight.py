"""Is the camera fit to record? One line for the wearer, from facts that others measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.lens import Lens

_LENS_REMEDY = {
    "covered": "lens covered, or no light: take off the cap",
    "blurred": "picture blurred: wipe the lens",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """None: not known. `model` is "" while none runs; `model_problem` says why. `low_battery`: the
    line of the battery's watch, "" when it is not low. `least_card_minutes`: less is not fit."""

    lens: Lens
    clock_is_trusted: bool
    card_minutes: float | None
    least_card_minutes: float
    battery_percent: float | None
    on_mains: bool | None
    low_battery: str
    model: str
    accelerator: str
    model_problem: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """`problems` make the camera unfit, each in words that stay the same while it lasts, with what
    to do; `line` says everything, with the numbers of now."""

    problems: tuple[str, ...]
    line: str

    @property
    def is_fit(self) -> bool:
        return not self.problems


def judge(facts: Facts) -> Preflight:
    """A clock that is not trusted is said, but does not make unfit: what is recorded gets its wall
    time later, and a camera in the field has no time server."""
    problems = []
    if facts.lens in _LENS_REMEDY:
        problems.append(_LENS_REMEDY[facts.lens])
    if facts.card_minutes is not None and facts.card_minutes < facts.least_card_minutes:
        problems.append(
            f"card takes less than {facts.least_card_minutes:.0f} min more: upload, or change it"
        )
    if facts.low_battery:
        problems.append(facts.low_battery)
    if not facts.model:
        problems.append(f"no model runs ({facts.model_problem or 'it is starting'})")
    if problems:
        return Preflight(tuple(problems), f"not fit: {'; '.join([*problems, *_said(facts)])}")
    return Preflight((), f"fit: {', '.join(_said(facts))}")


def _said(facts: Facts) -> list[str]:
    """What is as it should be, or at least known."""
    said = []
    if facts.lens not in _LENS_REMEDY:
        said.append("lens clear" if facts.lens == "clear" else "lens not seen yet")
    said.append("clock trusted" if facts.clock_is_trusted else "clock not trusted")
    minutes = facts.card_minutes
    said.append("card not measured yet" if minutes is None else f"card {minutes:.0f} min")
    if facts.battery_percent is not None and not facts.low_battery:
        said.append(f"battery {facts.battery_percent:.0f} %{', on mains' * bool(facts.on_mains)}")
    if facts.model:
        said.append(f"{facts.model} on {facts.accelerator}")
    return said
