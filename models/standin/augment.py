"""Picture variation in training: one draw per sequence, so that motion and flashes stay true.

No hue change: in this footage roles differ by colour alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as f
from torch import Tensor


def vary(pictures: Tensor, random: torch.Generator) -> Tensor:
    """float32 [sequences, time, 3, h, w] in 0..1 -> the same shape and range, varied."""
    warped = _warp(pictures, random)
    coloured = _colour(warped, random)
    return _soften(coloured, random).clamp_(0.0, 1.0)


def _draw(shape: tuple[int, ...], low: float, high: float, random: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=random) * (high - low) + low


def _warp(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Flip, zoom, shift, a little roll and barrel distortion, in one resampling."""
    count, time, channels, height, width = pictures.shape
    angle = _draw((count,), -0.08, 0.08, random)
    zoom = _draw((count,), 0.85, 1.08, random)
    flip = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    # The centre of the picture means something (the sights): shift only a little.
    shift = _draw((count, 2), -0.02, 0.02, random)
    barrel = _draw((count,), -0.05, 0.12, random)
    aspect = width / height
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    row_x = torch.stack([cos * flip, -sin / aspect, shift[:, 0]], dim=1)
    row_y = torch.stack([sin * aspect * flip, cos, shift[:, 1]], dim=1)
    grid = f.affine_grid(
        torch.stack([row_x, row_y], dim=1), [count, 1, height, width], align_corners=False
    )
    radius = (grid**2).sum(dim=3, keepdim=True)
    grid = grid * (1.0 + barrel[:, None, None, None] * radius)
    # The frames of one sequence share a grid: fold time into channels.
    folded = pictures.reshape(count, time * channels, height, width)
    moved = f.grid_sample(folded, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.reshape(pictures.shape)


def _colour(pictures: Tensor, random: torch.Generator) -> Tensor:
    count = pictures.shape[0]
    shape = (count, 1, 1, 1, 1)
    gain, offset = _draw(shape, 0.7, 1.3, random), _draw(shape, -0.1, 0.1, random)
    gamma = torch.exp(_draw(shape, -0.3, 0.3, random))
    cast = _draw((count, 1, 3, 1, 1), 0.93, 1.07, random)
    grey = pictures.mean(dim=2, keepdim=True)
    saturation = _draw(shape, 0.7, 1.25, random)
    toned = grey + (pictures - grey) * saturation
    return ((toned * gain * cast + offset).clamp(1e-4, 1.0)) ** gamma


def _soften(pictures: Tensor, random: torch.Generator) -> Tensor:
    count, height, width = pictures.shape[0], pictures.shape[3], pictures.shape[4]
    choice = torch.rand(count, generator=random)
    softened = pictures
    for index in range(count):
        if choice[index] < 0.2:  # out of focus
            soft = f.avg_pool2d(pictures[index], 3, 1, 1)
        elif choice[index] < 0.35:  # motion blur along one axis
            kernel = (1, 5) if choice[index] < 0.28 else (5, 1)
            soft = f.avg_pool2d(pictures[index], kernel, 1, (kernel[0] // 2, kernel[1] // 2))
        elif choice[index] < 0.5:  # block loss of a poor encoder
            small = f.avg_pool2d(pictures[index], 2, 2)
            soft = f.interpolate(small, size=(height, width), mode="bilinear")
        else:
            continue
        if softened is pictures:
            softened = pictures.clone()
        softened[index] = soft
    noise = torch.randn(pictures.shape, generator=random)
    return softened + noise * _draw((count, 1, 1, 1, 1), 0.0, 0.03, random)
