"""The network to beat: the small one with temporal shift that was tried first.

About 0.13 M parameters at 160x120. Part of its channels come from the frame before, so it keeps
state between pictures: what no NPU with a single input takes. It is trained and measured for
comparison, never shipped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.reference.network import conv

HEIGHT, WIDTH = 120, 160
_SHIFTED_SHARE = 8


class _ShiftedSeparable(nn.Module):
    """Depthwise and pointwise; an eighth of the channels come from the frame before."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(inplace=True),
        )
        self.pointwise = conv(inside, outside, 1)
        self.residual = stride == 1 and inside == outside
        self.shifted = inside // _SHIFTED_SHARE

    def forward(self, x: Tensor, time: int) -> Tensor:
        steps = x.unflatten(0, (-1, time))
        part = steps[:, :, : self.shifted]
        before = torch.cat([part[:, :1], part[:, :-1]], dim=1)
        mixed = torch.cat([before, steps[:, :, self.shifted :]], dim=2).flatten(0, 1)
        y: Tensor = self.pointwise(self.depthwise(mixed))
        return x + y if self.residual else y


class ShiftNetwork(nn.Module):
    """float32 [batch, time, 3, 120, 160] in 0..1 -> logits [batch, time, labels]."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.stem = conv(3, 16, 3, 2)
        shapes = [(16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        shapes += [(128, 160, 1), (160, 160, 1), (160, 160, 1)]
        self.blocks = nn.ModuleList(_ShiftedSeparable(*shape) for shape in shapes)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(2 * 160, labels)

    def forward(self, pictures: Tensor) -> Tensor:
        time = pictures.shape[1]
        x = self.stem(pictures.flatten(0, 1))
        for block in self.blocks:
            x = block(x, time)
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.out(self.dropout(pooled))
        return logits.unflatten(0, (-1, time))
