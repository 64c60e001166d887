"""Fit the causal head that ships, on the feature vectors of a trained backbone.

The backbone is done by then, so a clip is run through it once and the head, which is small, sees
whole stretches of time for next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.reference import recipe
from models.reference.augment import Variation
from models.reference.cache import CachedClip, batches
from models.reference.learn import Report, ap_by_label, label_loss, shown
from models.reference.network import Head
from models.reference.tasks import MainTask

STRETCH = 48
_STEPS, _STRETCHES = 600, 48
_PEAK, _WEIGHT_DECAY = 5e-4, 0.05
_REPORT_EVERY = 100


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames as the backbone saw them: `features` float32 [n, features], `truth`."""

    features: NDArray[np.float32]
    truth: NDArray[np.int8]


def stretches(
    task: MainTask, clips: Sequence[CachedClip], *, most: int, varied_share: float, seed: int
) -> list[Stretch]:
    """Stretches of 48 frames of all clips through the backbone, `most` of them at random (0: all).

    Some are varied as in training, so that the head knows poor pictures too.
    """
    draw = np.random.default_rng([seed, len(clips)])
    variation = Variation(*clips[0].pictures.shape[1:3])
    pieces = [(clip, part) for clip in clips for part in batches(len(clip.pts_ns), STRETCH)]
    if 0 < most < len(pieces):
        pieces = [pieces[int(i)] for i in draw.permutation(len(pieces))[:most]]
    out: list[Stretch] = []
    for clip, part in pieces:
        piece = cut(clip, part)
        if draw.random() < varied_share:
            pictures, _ = variation.vary(np.asarray(piece.pictures), piece.boxes, draw)
            piece = CachedClip(piece.name, pictures, piece.pts_ns, piece.truth, piece.boxes)
        out.append(Stretch(task.clip_features(piece).cpu().numpy(), piece.truth))
    return out


def cut(clip: CachedClip, part: slice) -> CachedClip:
    """The frames `part` of a clip."""
    return CachedClip(
        clip.name, clip.pictures[part], clip.pts_ns[part], clip.truth[part], clip.boxes[part]
    )


def fit_head(
    pair: Head,
    train: Sequence[Stretch],
    validation: Sequence[Stretch],
    balance: Tensor,
    report: Report,
) -> Head:
    """The head over two frames, widened to the window that ships and fitted to `train`.

    It begins as what `pair` computes; kept is the one of the reports that did best on `validation`.
    """
    torch.manual_seed(recipe.SEED)
    draw = np.random.default_rng(recipe.SEED)
    everything = np.concatenate([piece.features for piece in train])
    mean, spread = everything.mean(axis=0), everything.std(axis=0) + 1e-3
    head = widened(pair, mean, spread)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_PEAK, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK, _STEPS, pct_start=0.1)
    whole = [piece for piece in train if len(piece.truth) == STRETCH]
    truth_held = np.concatenate([piece.truth for piece in validation])
    best, kept = -1.0, head.state_dict()
    for step in range(_STEPS + 1):
        if step % _REPORT_EVERY == 0:
            scores = [logits_of(head, (p.features - mean) / spread) for p in validation]
            figures = ap_by_label(truth_held, np.concatenate(scores))
            report(f"head step {step} validation {shown(figures)}")
            average = sum(figures.values()) / max(len(figures), 1)
            if average > best:
                best = average
                kept = {name: value.clone() for name, value in head.state_dict().items()}
        head.train()
        chosen = [whole[int(i)] for i in draw.integers(0, len(whole), _STRETCHES)]
        features = torch.from_numpy(np.stack([(c.features - mean) / spread for c in chosen]))
        truth = torch.from_numpy(np.stack([c.truth for c in chosen]))
        loss = label_loss(head(features), truth, balance)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if step < _STEPS:
            schedule.step()
    head.load_state_dict(kept)
    return with_scaling_inside(head.eval(), mean, spread)


def widened(pair: Head, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Head:
    """A head of the window that ships that computes what `pair` does, for scaled features."""
    head = Head(pair.out.out_features)
    shift, scale = torch.from_numpy(mean), torch.from_numpy(spread)
    with torch.no_grad():
        weight = pair.hidden.weight
        head.hidden.weight.zero_()
        head.hidden.weight[:, -weight.shape[1] :] = weight * scale.repeat(pair.window)
        head.hidden.bias.copy_(pair.hidden.bias + weight @ shift.repeat(pair.window))
        head.out.weight.copy_(pair.out.weight)
        head.out.bias.copy_(pair.out.bias + pair.direct.weight @ shift)
        head.direct.weight.copy_(pair.direct.weight * scale)
    return head


def logits_of(head: Head, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, labels] of one stretch from a fresh start."""
    head.eval()
    with torch.no_grad():
        logits: NDArray[np.float32] = head(torch.from_numpy(features)[None])[0].numpy()
    return logits


def with_scaling_inside(head: Head, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Head:
    """The head for plain features, of one that was fitted to (features - mean) / spread."""
    shift, scale = torch.from_numpy(mean), torch.from_numpy(spread)
    with torch.no_grad():
        head.hidden.weight /= scale.repeat(head.window)
        head.hidden.bias -= head.hidden.weight @ shift.repeat(head.window)
        head.direct.weight /= scale
        head.out.bias -= head.direct.weight @ shift
    return head


def head_arrays(head: Head) -> dict[str, NDArray[np.float32]]:
    """The head's weights under the names that `agent.core.temporal_head` reads."""
    return {
        "hidden_weight": head.hidden.weight.detach().numpy(),
        "hidden_bias": head.hidden.bias.detach().numpy(),
        "out_weight": head.out.weight.detach().numpy(),
        "out_bias": head.out.bias.detach().numpy(),
        "direct_weight": head.direct.weight.detach().numpy(),
    }
