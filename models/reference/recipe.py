"""What the reference recipe fixes: labels, rates, sizes, seeds. Every step reads them here."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.picture import Crop
from agent.wire.model_manifest import LabelKind

RATE_HZ = 15.0
MAX_GAP_MS = 200
HEIGHT, WIDTH = 112, 192
# The truth speaks of the whole picture, and a person at its edge counts: nothing is cropped away.
CROP: Crop = "stretch"
SEED = 20_261_128
TORCH_THREADS = 2

TRAINING_SET, VALIDATION_SET = "train", "val"
HELD_OUT_SETS = ("held_seeds", "held_maps", "unseen_layouts", "unseen_textures", "unseen_weapon")


@dataclass(frozen=True)
class LabelRule:
    """How one label is smoothed; thresholds and temperature come from the validation set."""

    id: str
    group: str
    kind: LabelKind
    smoothing_ms: int
    min_on_ms: int
    min_off_ms: int


LABELS = (
    LabelRule("first_person", "view", "state", 500, 500, 1000),
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

# Boxes of the truth that the network is also asked to point at, and what makes one count: the
# definitions of person_visible and casualty_visible (share of the picture, share of its height).
BOX_KINDS = ("hostile", "civ", "hostage", "dead")
LIVING_LEAST_AREA, LIVING_LEAST_HEIGHT = 0.0015, 0.07
DEAD_LEAST_AREA = 0.001
