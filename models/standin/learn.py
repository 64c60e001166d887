"""The training loop: footage in, a fitted network and its held-out scores out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.reference.measure import average_precision
from models.standin import recipe
from models.standin.augment import vary
from models.standin.footage import TRAINING_CLIPS, model_pictures, read_clip
from models.standin.network import HEIGHT, WIDTH, Backbone, Head

Report = Callable[[str], None]


@dataclass(frozen=True)
class Block:
    """One stretch of one clip. `truth`: int8 [n, labels] in 1 | 0 | -1."""

    clip: str
    pictures: NDArray[np.uint8]
    pts_ns: NDArray[np.int64]
    truth: NDArray[np.int8]


@dataclass(frozen=True)
class Fitted:
    """A trained network, in evaluation mode, and the step it was taken from."""

    backbone: Backbone
    head: Head
    step: int
    held_out_mean_ap: float


def load_blocks(footage: Path) -> tuple[list[Block], list[Block]]:
    """(training blocks, held-out blocks): the end of each scene is held out, by time."""
    train: list[Block] = []
    held: list[Block] = []
    scene, tail = (round(s * recipe.RATE_HZ) for s in (recipe.SCENE_S, recipe.HELD_OUT_S))
    for name in TRAINING_CLIPS:
        clip = read_clip(footage, name, recipe.RATE_HZ)
        pictures = model_pictures(clip, HEIGHT, WIDTH)
        truth = np.stack([clip.truth[rule.id] for rule in recipe.LABELS], axis=1)
        for start in range(0, len(pictures) - scene + 1, scene):
            cut = start + scene - tail
            before, after = slice(start, cut - recipe.GUARD_FRAMES), slice(cut, start + scene)
            for part, blocks in ((before, train), (after, held)):
                blocks.append(Block(name, pictures[part], clip.pts_ns[part], truth[part]))
    return train, held


def fit(train: list[Block], held: list[Block], report: Report) -> Fitted:
    """Train with the recipe's seed; keeps the weights that did best on the held-out blocks."""
    torch.manual_seed(recipe.SEED)
    torch.set_num_threads(recipe.TORCH_THREADS)
    torch.use_deterministic_algorithms(True)
    random = torch.Generator().manual_seed(recipe.SEED)
    draw = np.random.default_rng(recipe.SEED)
    backbone, head = Backbone(), Head(len(recipe.LABELS))
    weights = [*backbone.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=recipe.LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.LEARNING_RATE, total_steps=recipe.STEPS, pct_start=0.05
    )
    balance = _positive_weight(train)
    best, best_step = -1.0, 0
    kept: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
    started = time.monotonic()
    for step in range(1, recipe.STEPS + 1):
        loss = _train_step(train, backbone, head, draw, random, balance)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 2.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == recipe.STEPS:
            mean_ap = held_out_mean_ap(held, backbone, head)
            report(
                f"step {step}/{recipe.STEPS} loss {loss.item():.3f} held-out mean AP {mean_ap:.3f}"
                f" {time.monotonic() - started:.0f} s"
            )
            if mean_ap >= best:
                best, best_step = mean_ap, step
                kept = (_copy(backbone), _copy(head))
    if kept is not None:
        backbone.load_state_dict(kept[0])
        head.load_state_dict(kept[1])
    return Fitted(backbone.eval(), head.eval(), best_step, best)


def held_out_logits(held: list[Block], backbone: Backbone, head: Head) -> list[NDArray[np.float32]]:
    """Per block: float32 [n, labels], run through as one sequence from a fresh start."""
    backbone.eval(), head.eval()
    out: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for block in held:
            features = backbone(_as_input(block.pictures))
            out.append(head(features[None])[0].numpy())
    return out


def held_out_mean_ap(held: list[Block], backbone: Backbone, head: Head) -> float:
    """Mean of the AP of the labels that have both kinds of frame in the held-out blocks."""
    scores = np.concatenate(held_out_logits(held, backbone, head))
    truth = np.concatenate([block.truth for block in held])
    values = [average_precision(truth[:, i], scores[:, i]) for i in range(truth.shape[1])]
    return float(np.mean([v for v in values if v is not None]))


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _as_input(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0


def _positive_weight(train: list[Block]) -> Tensor:
    truth = np.concatenate([block.truth for block in train])
    positive, negative = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    ratio = np.sqrt(negative / np.maximum(positive, 1))
    return torch.from_numpy(np.clip(ratio, 0.5, 6.0).astype(np.float32))


def _train_step(
    train: list[Block],
    backbone: Backbone,
    head: Head,
    draw: np.random.Generator,
    random: torch.Generator,
    balance: Tensor,
) -> Tensor:
    backbone.train(), head.train()
    picked = [_pick(train, draw) for _ in range(recipe.SEQUENCES)]
    span = [slice(start, start + recipe.TIME) for _, start in picked]
    pictures = np.stack([train[b].pictures[s] for (b, _), s in zip(picked, span, strict=True)])
    truth = np.stack([train[b].truth[s] for (b, _), s in zip(picked, span, strict=True)])
    folded = _as_input(pictures.reshape(-1, HEIGHT, WIDTH, 3))
    varied = vary(folded.reshape(recipe.SEQUENCES, recipe.TIME, *folded.shape[1:]), random)
    features = backbone(varied.flatten(0, 1)).reshape(recipe.SEQUENCES, recipe.TIME, -1)
    logits = head(features)
    target = torch.from_numpy(truth).float()
    known = (target >= 0).float()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0), pos_weight=balance, reduction="none"
    )
    loss: Tensor = (losses * known).sum() / known.sum().clamp(min=1)
    return loss


def _pick(train: list[Block], draw: np.random.Generator) -> tuple[int, int]:
    """(block, start). A share of draws holds a positive of a label chosen evenly."""
    if draw.random() < recipe.RARE_SHARE:
        label = int(draw.integers(len(recipe.LABELS)))
        found = [
            (b, int(i))
            for b, block in enumerate(train)
            for i in np.flatnonzero(block.truth[:, label] == 1)
        ]
        if found:
            block, frame = found[int(draw.integers(len(found)))]
            last = len(train[block].pictures) - recipe.TIME
            start = frame - int(draw.integers(recipe.TIME))
            return block, min(max(start, 0), last)
    block = int(draw.integers(len(train)))
    return block, int(draw.integers(len(train[block].pictures) - recipe.TIME + 1))
