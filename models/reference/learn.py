"""The training loop, the same for the main network and for the baseline: resumable at any step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.reference import recipe
from models.reference.cache import CachedClip
from models.reference.loader import Batch, Sequences
from models.reference.measure import average_precision

Report = Callable[[str], None]
_AVERAGE_KEEPS = 0.998
_GRADIENT_LIMIT = 2.0
_WEIGHT_DECAY = 0.02
_WATCHED_FRAMES = 80


class Trainable(Protocol):
    """What the loop asks of a network in training."""

    def losses(self, batch: Batch, balance: Tensor) -> Tensor:
        """The scalar to be made small."""

    def clip_logits(self, clip: CachedClip) -> NDArray[np.float32]:
        """float32 [n, labels] of the whole clip, in order, from a fresh start."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then the peak rate, then down to zero over the last `decay` steps.

    `cosine`: half a cosine over all steps instead.
    """

    steps: int
    peak: float
    warm_up: int = 200
    decay: int = 1000
    cosine: bool = False

    def rate(self, step: int) -> float:
        """The learning rate of `step`, counted from 0."""
        warm = min(1.0, (step + 1) / self.warm_up)
        if self.cosine:
            return self.peak * warm * 0.5 * (1.0 + float(np.cos(np.pi * step / self.steps)))
        return self.peak * warm * min(1.0, max(self.steps - step, 0) / self.decay)


class Training:
    """One network, its optimiser, its slow average and the step it is at."""

    def __init__(self, network: nn.Module, peak: float, device: str) -> None:
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=peak, weight_decay=_WEIGHT_DECAY
        )
        self.step = 0
        self.spent_cpu_s = 0.0

    def save(self, file: Path) -> None:
        """Write all that resuming needs; the file is whole or the old one."""
        part = file.with_name(f".{file.name}")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent_cpu_s": self.spent_cpu_s,
        }
        torch.save(state, part)
        part.replace(file)

    def resume(self, file: Path) -> None:
        """Go on from a checkpoint. Raises OSError, or RuntimeError when it is another network's."""
        state: Mapping[str, Any] = torch.load(file, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent_cpu_s = int(state["step"]), float(state["spent_cpu_s"])

    def follow(self) -> None:
        """Move the average a little towards the network."""
        # A short history at first: an average of the random start would be useless.
        keeps = min(_AVERAGE_KEEPS, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1.0 - keeps)
            for slow, fast in zip(self.average.buffers(), self.network.buffers(), strict=True):
                slow.copy_(fast)


def set_up_torch(threads: int = recipe.TORCH_THREADS) -> None:
    """Seed and threads; the same machine, pins and footage give the same training."""
    torch.manual_seed(recipe.SEED)
    torch.set_num_threads(threads)


def run(
    training: Training,
    sequences: Sequences,
    schedule: Schedule,
    *,
    balance: Tensor,
    validation: list[CachedClip],
    checkpoint: Path,
    report: Report,
    every: int = 500,
) -> None:
    """Train to the schedule's last step, a checkpoint every 100 steps, validating as it goes."""
    network: Any = training.network
    started, cpu, seen = time.monotonic(), time.process_time(), training.step
    lost = 0.0
    for batch in sequences.from_step(training.step, schedule.steps):
        network.train()
        for group in training.optimiser.param_groups:
            group["lr"] = schedule.rate(training.step)
        loss = network.losses(batch, balance)
        training.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_LIMIT)
        training.optimiser.step()
        training.step += 1
        training.follow()
        lost = 0.98 * lost + 0.02 * loss.item() if lost else loss.item()
        last = training.step == schedule.steps
        if training.step % 100 == 0 or last:
            training.spent_cpu_s += time.process_time() - cpu
            cpu = time.process_time()
            training.save(checkpoint)
            rate = (training.step - seen) / (time.monotonic() - started)
            report(
                f"step {training.step}/{schedule.steps} loss {lost:.4f} {rate:.2f} steps/s"
                f" {training.spent_cpu_s / 60:.1f} CPU-min"
            )
        if training.step % every == 0 or last:
            figures = average_precisions(training.average, [_start_of(c) for c in validation])
            training.save(checkpoint.with_name(f"{checkpoint.stem}-{training.step}.pt"))
            report(f"  validation {shown(figures)}")


def _start_of(clip: CachedClip) -> CachedClip:
    """The first frames of a clip: to watch a training by, in a fraction of the time."""
    few = slice(0, _WATCHED_FRAMES)
    return replace(
        clip,
        pictures=clip.pictures[few],
        pts_ns=clip.pts_ns[few],
        truth=clip.truth[few],
        boxes=clip.boxes[few],
    )


def average_precisions(network: Any, clips: list[CachedClip]) -> dict[str, float]:
    """AP of each label that has both kinds of frame in `clips`, all clips ranked as one."""
    network.eval()
    with torch.no_grad():
        scores = np.concatenate([network.clip_logits(clip) for clip in clips])
    truth = np.concatenate([clip.truth for clip in clips])
    return ap_by_label(truth, scores)


def ap_by_label(truth: NDArray[np.int8], scores: NDArray[np.float32]) -> dict[str, float]:
    """label id -> AP, without the labels whose truth has one kind only."""
    values = {
        rule.id: average_precision(truth[:, i], scores[:, i])
        for i, rule in enumerate(recipe.LABELS)
    }
    return {id_: value for id_, value in values.items() if value is not None}


def shown(figures: Mapping[str, float]) -> str:
    """One line: the mean, then each label."""
    mean = sum(figures.values()) / max(len(figures), 1)
    rows = " ".join(f"{id_} {value:.2f}" for id_, value in figures.items())
    return f"mean AP {mean:.3f}: {rows}"


def positive_weight(clips: list[CachedClip]) -> Tensor:
    """float32 [labels]: the root of negatives over positives, bounded."""
    truth = np.concatenate([clip.truth for clip in clips])
    positive, negative = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    ratio = np.sqrt(negative / np.maximum(positive, 1))
    return torch.from_numpy(np.clip(ratio, 0.5, 6.0).astype(np.float32))


def label_loss(logits: Tensor, truth: Tensor, balance: Tensor) -> Tensor:
    """Masked, balanced binary cross-entropy; truth -1 counts for nothing."""
    known = (truth >= 0).float()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, truth.clamp(min=0).float(), pos_weight=balance, reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1.0)


def as_input(pictures: NDArray[np.uint8], device: str | torch.device) -> Tensor:
    """float32 [..., 3, h, w] in 0..1 of uint8 [..., h, w, 3], on `device`."""
    # A copy: the cache's arrays are read-only maps of files, which torch does not know.
    on_device = torch.from_numpy(np.array(pictures)).to(device)
    return on_device.movedim(-1, -3).float().div_(255.0)
