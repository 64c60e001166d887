"""The trained network and the agent's head compute the same. Needs the training requirements."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.temporal_head import TemporalHead

torch = pytest.importorskip("torch", reason="training requirements are not installed")


def test_the_agents_head_gives_what_the_trained_head_gives() -> None:
    from models.standin.bundle import head_arrays
    from models.standin.network import FEATURES, WINDOW, Head

    torch.manual_seed(4)
    trained = Head(5).eval()
    features = torch.randn(20, FEATURES)
    with torch.no_grad():
        expected = torch.sigmoid(trained(features[None])[0] / 2.0).numpy()
    head = TemporalHead(
        head_arrays(trained),
        features=FEATURES,
        window=WINDOW,
        stride=1,
        temperatures=[2.0] * 5,
        max_gap_ns=200_000_000,
    )
    found = np.stack([head.push(i * 66_666_667, f.numpy()) for i, f in enumerate(features)])
    assert np.allclose(found, expected, atol=1e-5)


def test_variation_keeps_shape_and_range_and_follows_the_seed() -> None:
    from models.standin.augment import vary

    pictures = torch.rand(2, 3, 3, 24, 32)
    varied = [vary(pictures, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert varied[0].shape == pictures.shape
    assert torch.equal(varied[0], varied[1])
    assert varied[0].min() >= 0
    assert varied[0].max() <= 1


def test_the_backbone_gives_one_vector_per_picture_without_memory() -> None:
    from models.standin.network import FEATURES, HEIGHT, WIDTH, Backbone

    backbone = Backbone().eval()
    pictures = torch.rand(2, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        both, alone = backbone(pictures), backbone(pictures[1:])
    assert both.shape == (2, FEATURES)
    assert torch.allclose(both[1], alone[0], atol=1e-5)
