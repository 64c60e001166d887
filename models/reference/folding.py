"""What every export starts from: the backbone for inference, and the names of its two tensors."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.reference.network import Backbone

INPUT_NAME, OUTPUT_NAME = "picture", "features"


def folded(backbone: Backbone) -> nn.Module:
    """A copy for inference on the CPU, each batch norm inside its convolution."""
    copied = copy.deepcopy(backbone).cpu().eval()
    for module in copied.modules():
        if isinstance(module, nn.Sequential) and len(module) >= 2:
            first, norm = module[0], module[1]
            if isinstance(first, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(first, norm), nn.Identity()
    return copied.to(memory_format=torch.contiguous_format)
