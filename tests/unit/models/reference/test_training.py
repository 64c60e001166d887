"""The training's parts. Needs the training requirements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.core.temporal_head import TemporalHead
from models.reference import recipe
from models.reference.cache import CachedClip

torch = pytest.importorskip("torch", reason="training requirements are not installed")

LABELS = len(recipe.LABELS)


def clip(name: str, count: int, seed: int = 0) -> CachedClip:
    """Random pictures; `shot_fired` on the third frame, everything else absent."""
    draw = np.random.default_rng(seed)
    truth = np.zeros((count, LABELS), np.int8)
    truth[2, [rule.id for rule in recipe.LABELS].index("shot_fired")] = 1
    return CachedClip(
        name=name,
        pictures=draw.integers(0, 256, (count, recipe.HEIGHT, recipe.WIDTH, 3), np.uint8),
        pts_ns=np.arange(count, dtype=np.int64) * 66_666_667,
        truth=truth,
        boxes=np.zeros((count, recipe.HEIGHT // 4, recipe.WIDTH // 4), np.uint8),
    )


def test_the_agents_head_gives_what_the_trained_head_gives() -> None:
    from models.reference.fit_head import head_arrays
    from models.reference.network import FEATURES, WINDOW, Head

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


def test_scaling_put_inside_the_head_changes_no_logit() -> None:
    from models.reference.fit_head import logits_of, with_scaling_inside
    from models.reference.network import FEATURES, Head

    torch.manual_seed(5)
    draw = np.random.default_rng(5)
    features = draw.normal(3.0, 2.0, (15, FEATURES)).astype(np.float32)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    head = Head(4)
    expected = logits_of(head, (features - mean) / spread)
    assert np.allclose(
        logits_of(with_scaling_inside(head, mean, spread), features), expected, atol=1e-4
    )


def test_a_widened_head_computes_what_the_head_over_two_frames_does() -> None:
    from models.reference.fit_head import logits_of, widened
    from models.reference.network import FEATURES, WINDOW, Head

    torch.manual_seed(7)
    draw = np.random.default_rng(7)
    features = draw.normal(1.0, 3.0, (15, FEATURES)).astype(np.float32)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    pair = Head(4, window=2)
    wide = widened(pair, mean, spread)
    assert wide.window == WINDOW
    found = logits_of(wide, (features - mean) / spread)
    assert np.allclose(found, logits_of(pair, features), atol=1e-4)


def test_the_backbone_gives_one_vector_per_picture_without_memory() -> None:
    from models.reference.network import FEATURES, MAP_KINDS, Backbone

    backbone = Backbone().eval()
    pictures = torch.rand(2, 3, recipe.HEIGHT, recipe.WIDTH)
    with torch.no_grad():
        both, people = backbone.with_map(pictures)
        alone = backbone(pictures[1:])
    assert both.shape == (2, FEATURES)
    assert people.shape == (2, MAP_KINDS, recipe.HEIGHT // 8, recipe.WIDTH // 8)
    assert torch.allclose(both[1], alone[0], atol=1e-5)


def test_the_network_has_the_parameters_that_fit_a_small_npu() -> None:
    from models.reference.network import Backbone

    assert 0.3e6 < sum(p.numel() for p in Backbone().parameters()) < 2.5e6


def test_the_baseline_sees_the_frame_before_and_never_the_next() -> None:
    from models.reference.baseline import HEIGHT, WIDTH, ShiftNetwork

    torch.manual_seed(6)
    network = ShiftNetwork(3).eval()
    pictures = torch.rand(1, 5, 3, HEIGHT, WIDTH)
    other = pictures.clone()
    other[0, 3] = torch.rand(3, HEIGHT, WIDTH)
    with torch.no_grad():
        first, second = network(pictures)[0], network(other)[0]
    assert torch.equal(first[:3], second[:3])
    assert not torch.equal(first[4], second[4])


def test_variation_keeps_shape_and_follows_the_draw() -> None:
    from models.reference.augment import Variation

    source = clip("a", 3)
    variation = Variation(recipe.HEIGHT, recipe.WIDTH)
    varied = [
        variation.vary(source.pictures, source.boxes, np.random.default_rng(1)) for _ in range(2)
    ]
    assert varied[0][0].shape == source.pictures.shape
    assert varied[0][0].dtype == np.uint8
    assert np.array_equal(varied[0][0], varied[1][0])
    assert not np.array_equal(varied[0][0], source.pictures)


def test_boxes_move_with_the_picture() -> None:
    from models.reference.augment import Variation

    pictures = np.zeros((1, recipe.HEIGHT, recipe.WIDTH, 3), np.uint8)
    pictures[0, 40:80, 120:160] = 255
    boxes = np.zeros((1, recipe.HEIGHT // 4, recipe.WIDTH // 4), np.uint8)
    boxes[0, 10:20, 30:40] = 1
    variation = Variation(recipe.HEIGHT, recipe.WIDTH)
    for seed in range(12):
        moved, followed = variation._move(pictures, boxes, np.random.default_rng(seed))
        bright = moved[0, 2::4, 2::4, 0] > 127
        assert (bright != (followed[0] > 0)).mean() < 0.03


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    from models.reference.loader import Sequences

    clips = [clip("a", 8, 1), clip("b", 6, 2)]
    made = [Sequences(clips, count=3, time=2, rare_share=0.5, seed=9) for _ in range(2)]
    in_order = list(made[0].from_step(0, 3))
    resumed = list(made[1].from_step(2, 3))
    assert np.array_equal(in_order[2].pictures, resumed[0].pictures)
    assert np.array_equal(in_order[2].truth, made[1].batch(2).truth)
    assert not np.array_equal(in_order[1].pictures, in_order[2].pictures)


def test_a_rare_label_is_drawn_often() -> None:
    from models.reference.loader import Sequences

    sequences = Sequences([clip("a", 200)], count=40, time=2, rare_share=1.0, seed=1)
    shots = sequences.batch(0).truth[:, :, [r.id for r in recipe.LABELS].index("shot_fired")]
    assert (shots == 1).any(axis=1).all()


def test_who_was_moved_out_of_the_picture_is_unknown_not_absent() -> None:
    from models.reference.loader import _doubt_what_left

    ids = [rule.id for rule in recipe.LABELS]
    truth = np.zeros((1, LABELS), np.int8)
    truth[0, [ids.index("civilian_visible"), ids.index("person_visible")]] = 1
    before, after = np.zeros((2, 1, 4, 4), np.uint8)
    before[0, 0, 0] = 1 << recipe.BOX_KINDS.index("civ")
    _doubt_what_left(truth, before, after)
    unknown = {ids[i] for i in np.flatnonzero(truth[0] == -1)}
    assert unknown == {"civilian_visible", "person_visible"}


def test_the_rate_warms_up_holds_and_falls_to_nothing() -> None:
    from models.reference.learn import Schedule

    schedule = Schedule(steps=1000, peak=1.0, warm_up=100, decay=200)
    assert schedule.rate(0) == pytest.approx(0.01)
    assert schedule.rate(500) == 1.0
    assert schedule.rate(900) == pytest.approx(0.5)
    assert schedule.rate(999) == pytest.approx(0.005)


def test_a_resumed_training_ends_at_the_weights_of_one_that_never_stopped(tmp_path: Path) -> None:
    from models.reference.learn import Schedule, Training, positive_weight, run, set_up_torch
    from models.reference.loader import Sequences
    from models.reference.tasks import MainTask

    clips = [clip("a", 8)]

    def go_on(folder: Path, last: int) -> Training:
        set_up_torch()
        task = MainTask()
        for module in task.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        training = Training(task, 1e-3, "cpu")
        if (folder / "main.pt").exists():
            training.resume(folder / "main.pt")
        run(
            training,
            Sequences(clips, count=2, time=2, rare_share=0.4, seed=1),
            Schedule(steps=last, peak=1e-3, warm_up=1, decay=1),
            balance=positive_weight(clips),
            validation=clips,
            checkpoint=folder / "main.pt",
            report=lambda line: None,
        )
        return training

    for name in ("whole", "parted"):
        (tmp_path / name).mkdir()
    whole = go_on(tmp_path / "whole", 2)
    go_on(tmp_path / "parted", 1)
    parted = go_on(tmp_path / "parted", 2)
    assert parted.step == whole.step == 2
    for name, value in whole.average.state_dict().items():
        assert torch.allclose(value, parted.average.state_dict()[name], atol=1e-6), name


def test_a_label_of_unknown_truth_costs_nothing() -> None:
    from models.reference.learn import label_loss

    logits = torch.tensor([[4.0, -4.0]])
    balance = torch.ones(2)
    known = label_loss(logits, torch.tensor([[1, 0]], dtype=torch.int8), balance)
    unknown = label_loss(logits, torch.tensor([[1, -1]], dtype=torch.int8), balance)
    assert float(unknown) == pytest.approx(float(known), rel=1e-4)
