"""What the recipe fixes: labels, rates, sizes, seeds. `train` and `bundle` both read it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.wire.model_manifest import LabelKind

RATE_HZ = 15.0
MAX_GAP_MS = 200
SEED = 20_240_315
STEPS = 2400
SEQUENCES, TIME = 8, 12
LEARNING_RATE = 3e-3
RARE_SHARE = 0.35
# The clips are made of scenes of 6 s, each with its own weapon and people. The end of every scene
# is held out (thresholds, temperatures, early stop), so that each label is on both sides.
SCENE_S = 6.0
HELD_OUT_S = 1.6
GUARD_FRAMES = 8
TORCH_THREADS = 2


@dataclass(frozen=True)
class LabelRule:
    """How one label is smoothed; thresholds and temperature come from held-out training time."""

    id: str
    group: str
    kind: LabelKind
    smoothing_ms: int
    min_on_ms: int
    min_off_ms: int


LABELS = (
    LabelRule("weapon_in_view", "weapon", "state", 200, 200, 400),
    LabelRule("long_gun", "weapon", "state", 200, 200, 400),
    LabelRule("automatic", "weapon", "state", 200, 200, 400),
    LabelRule("shot_fired", "shot", "event", 0, 0, 0),
    LabelRule("muzzle_flash", "shot", "event", 0, 0, 60),
    LabelRule("person_visible", "person", "state", 150, 130, 400),
    LabelRule("person_in_sights", "person", "state", 100, 60, 200),
    LabelRule("armed_hostile_visible", "person", "state", 150, 130, 400),
    LabelRule("civilian_visible", "person", "state", 150, 130, 400),
    LabelRule("hostage_visible", "person", "state", 150, 130, 400),
    LabelRule("casualty_visible", "person", "state", 150, 130, 400),
    LabelRule("env_outdoor", "place", "state", 500, 500, 1000),
    LabelRule("env_transport", "place", "state", 500, 500, 1000),
    LabelRule("env_water", "place", "state", 500, 500, 1000),
)
# Constant in the training clips: nothing to learn, so the model does not claim it.
LEFT_OUT = ("first_person",)
