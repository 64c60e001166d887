"""The network: a stateless backbone for any NPU, and a causal head over its feature vectors.

Plain 3x3 convolutions rather than depthwise ones: they use a CPU's and an NPU's multipliers
better at this size, and quantise better. The head's arithmetic is that of
`agent.core.temporal_head`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.reference import recipe

FEATURES = 96
WINDOW = 12
HIDDEN = 64
# What the map shows: any living person, then recipe.BOX_KINDS.
MAP_KINDS = 1 + len(recipe.BOX_KINDS)
_STEM, _MIDDLE, _DEEP = 48, 64, 128
_RARE_AT_FIRST = -3.0


def conv(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """x + conv(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


class Backbone(nn.Module):
    """float32 [n, 3, 112, 192] in 0..1 -> float32 [n, 96]. Fixed shapes, ReLU, no state.

    Beside what it learns by itself, the feature vector is fed by a map of where people are (24 x
    14 squares of 8 pixels; its largest values overall and at the centre, where the sights are).
    In training the map is taught from the truth's boxes: `with_map` returns it as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            conv(3, _STEM, 6, 4),
            conv(_STEM, _MIDDLE, 3, 2),
            _Residual(_MIDDLE),
            _Residual(_MIDDLE),
        )
        self.deep = nn.Sequential(
            conv(_MIDDLE, _DEEP, 3, 2),
            _Residual(_DEEP),
            _Residual(_DEEP),
            _Residual(_DEEP),
        )
        self.lateral = conv(_DEEP, _MIDDLE, 1)
        self.joined = conv(_MIDDLE, _MIDDLE, 3)
        self.map = nn.Conv2d(_MIDDLE, MAP_KINDS, 1)
        nn.init.constant_(_bias(self.map), _RARE_AT_FIRST)
        self.place = nn.Sequential(conv(_DEEP, 32, 3, 2), nn.Flatten())
        self.presence = nn.Sequential(nn.MaxPool2d((7, 12)), nn.Flatten())
        self.sights = conv(_MIDDLE, 16, 1)
        self.whole_map = nn.Sequential(nn.MaxPool2d((14, 24)), nn.Flatten())
        self.centre_map = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
        self.dropout = nn.Dropout(0.15)
        self.out = nn.Linear(32 * 4 * 6 + _DEEP + 16 * 4 * 4 + 2 * MAP_KINDS, FEATURES)

    def forward(self, picture: Tensor) -> Tensor:
        return self.with_map(picture)[0]

    def with_map(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """(features, logits of the map [n, 5, 14, 24])."""
        fine = self.fine(picture)
        deep = self.deep(fine)
        context = nn.functional.interpolate(self.lateral(deep), scale_factor=2.0, mode="nearest")
        joined = self.joined(fine + context)
        people = self.map(joined)
        sights = torch.flatten(self.sights(joined[:, :, 5:9, 10:14]), 1)
        learnt = torch.cat([self.place(deep), self.presence(deep), sights], dim=1)
        shown = torch.cat([self.whole_map(people), self.centre_map(people[:, :, 6:8, 11:13])], 1)
        features: Tensor = self.out(torch.cat([self.dropout(learnt), shown], dim=1))
        return features, people


class Head(nn.Module):
    """float32 [batch, time, features] -> logits [batch, time, labels].

    Each instant sees its last `window` feature vectors; before the first frame, the first one
    repeated.
    """

    def __init__(self, labels: int, window: int = WINDOW, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.window = window
        self.hidden = nn.Linear(window * FEATURES, hidden)
        self.out = nn.Linear(hidden, labels)
        self.direct = nn.Linear(FEATURES, labels, bias=False)
        self.dropout = nn.Dropout(0.2)

    def forward(self, features: Tensor) -> Tensor:
        time = features.shape[1]
        padded = torch.cat([features[:, :1].expand(-1, self.window - 1, -1), features], dim=1)
        # Oldest first, as in the agent's ring.
        window = torch.cat([padded[:, i : i + time] for i in range(self.window)], dim=2)
        hidden = self.dropout(torch.relu(self.hidden(window)))
        logits: Tensor = self.out(hidden) + self.direct(features)
        return logits


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise TypeError("the layer has no bias")
    return layer.bias
