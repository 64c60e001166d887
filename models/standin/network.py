"""The network: a stateless convolutional backbone and a small causal head over its features.

The head's arithmetic is the one of `agent.core.temporal_head`; a test holds the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 64
WINDOW = 8
HIDDEN = 48
HEIGHT, WIDTH = 120, 160


def _conv(inside: int, outside: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class _Separable(nn.Module):
    """Depthwise 3x3 then pointwise; a residual sum where the shape stays."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.depthwise = _conv(inside, inside, 3, stride, groups=inside)
        self.pointwise = _conv(inside, outside, 1, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """float32 [n, 3, 120, 160] in 0..1 -> float32 [n, 64]. Fixed shapes, ReLU, no state."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _conv(3, 16, 3, 2),
            _Separable(16, 32, 2),
            _Separable(32, 48, 2),
            _Separable(48, 48, 1),
            _Separable(48, 96, 2),
            _Separable(96, 96, 1),
            _Separable(96, 128, 1),
        )
        # Where things lie (sights, horizon) and that they are there at all: two small branches.
        self.place = nn.Sequential(_conv(128, 24, 1, 1), nn.MaxPool2d(2, 2), nn.Flatten())
        self.presence = nn.Sequential(nn.MaxPool2d((8, 10)), nn.Flatten())
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(24 * 4 * 5 + 128, FEATURES)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.trunk(picture)
        joined = torch.cat([self.place(x), self.presence(x)], dim=1)
        features: Tensor = self.out(self.dropout(joined))
        return features


class Head(nn.Module):
    """float32 [batch, time, 64] -> logits [batch, time, labels].

    Each instant sees its last 8 feature vectors; before the first frame, the first one repeated.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(WINDOW * FEATURES, HIDDEN)
        self.out = nn.Linear(HIDDEN, labels)
        self.direct = nn.Linear(FEATURES, labels, bias=False)
        self.dropout = nn.Dropout(0.2)

    def forward(self, features: Tensor) -> Tensor:
        time = features.shape[1]
        padded = torch.cat([features[:, :1].expand(-1, WINDOW - 1, -1), features], dim=1)
        # Oldest first, as in the agent's ring.
        window = torch.cat([padded[:, i : i + time] for i in range(WINDOW)], dim=2)
        hidden = self.dropout(torch.relu(self.hidden(window)))
        logits: Tensor = self.out(hidden) + self.direct(features)
        return logits
