"""What is trained: the main network with its helpers in training, and the baseline."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.reference import recipe
from models.reference.baseline import ShiftNetwork
from models.reference.boxes import map_target
from models.reference.cache import CachedClip, batches
from models.reference.learn import as_input, label_loss
from models.reference.loader import Batch
from models.reference.network import Backbone, Head

_PAIR = 2
_MAP_SHARE = 1.0
_MAP_POSITIVE_WEIGHT = 3.0
_PICTURES_AT_ONCE = 64


class MainTask(nn.Module):
    """Backbone, map of people, and a head over two frames that only training needs.

    Pairs of frames teach the backbone what changes from one to the next (a shot); the head that
    ships looks further back and is fitted afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = Head(len(recipe.LABELS), window=_PAIR)

    def losses(self, batch: Batch, balance: Tensor) -> Tensor:
        count, time = batch.pictures.shape[:2]
        device = balance.device
        pictures = as_input(batch.pictures.reshape(count * time, *batch.pictures.shape[2:]), device)
        features, people = self.backbone.with_map(
            pictures.contiguous(memory_format=torch.channels_last)
        )
        logits = self.head(features.unflatten(0, (count, time)))
        by_label = label_loss(logits, torch.from_numpy(batch.truth).to(device), balance)
        bits = batch.boxes.reshape(count * time, *batch.boxes.shape[2:])
        return by_label + _MAP_SHARE * _map_loss(people, bits)

    def clip_logits(self, clip: CachedClip) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.head(self.clip_features(clip)[None])[0].cpu().numpy()
        return logits

    def clip_features(self, clip: CachedClip) -> Tensor:
        """float32 [n, features] of every picture of the clip, in evaluation mode."""
        device = next(self.parameters()).device
        parts = []
        with torch.no_grad():
            for part in batches(len(clip.pictures), _PICTURES_AT_ONCE):
                pictures = as_input(clip.pictures[part], device)
                parts.append(self.backbone(pictures.contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts)


class BaselineTask(nn.Module):
    """The baseline on its sequences of four."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ShiftNetwork(len(recipe.LABELS))

    def losses(self, batch: Batch, balance: Tensor) -> Tensor:
        logits = self.network(as_input(batch.pictures, balance.device))
        return label_loss(logits, torch.from_numpy(batch.truth).to(balance.device), balance)

    def clip_logits(self, clip: CachedClip) -> NDArray[np.float32]:
        device = next(self.parameters()).device
        parts = []
        for part in batches(len(clip.pictures), _PICTURES_AT_ONCE):
            # The frames before the part carry the shift into it: one a block.
            start = max(part.start - len(self.network.blocks), 0)
            pictures = as_input(clip.pictures[start : part.stop], device)
            parts.append(self.network(pictures[None])[0, part.start - start :].cpu().numpy())
        return np.concatenate(parts)


def _map_loss(people: Tensor, bits: NDArray[np.uint8]) -> Tensor:
    """Cross-entropy of the map; where a box only nearly counts, nothing is asked."""
    target, weight = map_target(bits)
    living = target[:, :3].max(axis=1, keepdims=True)
    certain = np.where(living == 1, 1.0, weight[:, :3].min(axis=1, keepdims=True))
    wanted = torch.from_numpy(np.concatenate([living, target], axis=1)).to(people.device)
    counts = torch.from_numpy(np.concatenate([certain, weight], axis=1)).to(people.device)
    losses = nn.functional.binary_cross_entropy_with_logits(people, wanted, reduction="none")
    losses = losses * counts * (1.0 + (_MAP_POSITIVE_WEIGHT - 1.0) * wanted)
    # Squares with somebody are few: the sum over the picture, by a typical person's squares.
    return losses.sum(dim=(2, 3)).mean() / 12.0
