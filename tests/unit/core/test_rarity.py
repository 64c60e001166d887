from __future__ import annotations

from agent.core.rarity import LabelRarity


def test_label_is_rare_when_first_seen_and_then_while_a_tenth_of_the_clips_have_it() -> None:
    rarity = LabelRarity()
    assert rarity.is_rare({"weapon"})
    assert not rarity.is_rare({"weapon"})
    assert rarity.is_rare({"weapon", "fall"})
    for _ in range(6):
        assert not rarity.is_rare({"weapon"})
    assert not rarity.is_rare({"fall"})  # 1 of 9
    for _ in range(10):
        rarity.is_rare({"weapon"})
    assert rarity.is_rare({"fall"})  # 2 of 20


def test_clip_without_labels_is_not_rare_but_counts() -> None:
    rarity = LabelRarity()
    rarity.is_rare({"weapon"})
    for _ in range(9):
        assert not rarity.is_rare(set())
    assert rarity.is_rare({"weapon"})  # 1 of 10
