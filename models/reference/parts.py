"""A trained network, whole: the backbone's slow average, and the head that ships with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.reference import recipe
from models.reference.cache import CachedClip
from models.reference.fit_head import fit_head, stretches
from models.reference.learn import Report, positive_weight
from models.reference.network import Head
from models.reference.tasks import MainTask

_FILE, _CHECKPOINT = "head.pt", "main.pt"
_VARIED_SHARE = 0.5


@dataclass(frozen=True)
class Parts:
    """A trained backbone (in `task`) and the head that ships, in evaluation mode."""

    task: MainTask
    head: Head


def make_parts(
    work: Path,
    train: Sequence[CachedClip],
    validation: Sequence[CachedClip],
    most: int,
    report: Report,
) -> Parts:
    """Fit the head to the checkpoint in `work`, on `most` stretches of `train` (0: all).

    Both are kept in `work`.
    """
    task = MainTask()
    state = torch.load(work / _CHECKPOINT, map_location="cpu", weights_only=True)
    task.load_state_dict(state["average"])
    task.eval().to(memory_format=torch.channels_last)
    seen = stretches(task, train, most=most, varied_share=_VARIED_SHARE, seed=recipe.SEED)
    held = stretches(task, validation, most=0, varied_share=0.0, seed=recipe.SEED)
    head = fit_head(task.head, seen, held, positive_weight(list(train)), report)
    torch.save({"task": task.state_dict(), "head": head.state_dict()}, work / _FILE)
    return Parts(task, head)


def load_parts(work: Path) -> Parts:
    """As they were left in `work` by the training. Raises OSError when it has not got so far."""
    state = torch.load(work / _FILE, map_location="cpu", weights_only=True)
    task, head = MainTask(), Head(len(recipe.LABELS))
    task.load_state_dict(state["task"])
    head.load_state_dict(state["head"])
    return Parts(task.eval().to(memory_format=torch.channels_last), head.eval())
