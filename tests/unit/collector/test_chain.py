"""Breaks of the custody chain, told from stored clips in any order of arrival."""

from __future__ import annotations

import itertools

import pyrage
import pytest

from agent.crypto.custody import ChainHead, CustodyChain, verify_chain
from agent.wire.custody import GENESIS
from collector.chain import ChainBreak, ClipLinks, find_breaks
from tests.sample_clip import SampleClip, SampleDevice


@pytest.fixture
def device() -> SampleDevice:
    return SampleDevice("cam01", pyrage.x25519.Identity.generate().to_public())


def _links(device: SampleDevice, clip: SampleClip) -> ClipLinks:
    lines = verify_chain(clip.custody, lambda _kid: device.key.public_key())
    return ClipLinks.of(clip.clip_id, clip.manifest, list(zip(clip.custody, lines, strict=True)))


def _small(device: SampleDevice) -> ClipLinks:
    return _links(device, device.clip(count=1, fragment_bytes=10))


def _all_breaks(clips: list[ClipLinks]) -> list[ChainBreak]:
    """What is found when they arrive in this order."""
    return [found for n, clip in enumerate(clips) for found in find_breaks(clip, clips[:n])]


def test_whole_chain_has_no_break_in_any_order_of_arrival(device: SampleDevice) -> None:
    clips = [_small(device) for _ in range(3)] + [_links(device, device.record())]
    for order in itertools.permutations(clips):
        assert _all_breaks(list(order)) == []


def test_clip_missing_in_between_is_no_proof_of_a_break(device: SampleDevice) -> None:
    clips = [_small(device) for _ in range(3)]
    assert _all_breaks([clips[0], clips[2]]) == []


def test_clip_hung_elsewhere_than_on_the_one_before_is_a_break(device: SampleDevice) -> None:
    first = _small(device)
    device.chain = CustodyChain(device.signer, ChainHead(n=first.last_n, line_sha256="ab" * 32))
    second = _small(device)

    for order in ([first, second], [second, first]):
        (found,) = _all_breaks(order)
        assert (found.clip_key, found.other_clip_key) == (second.clip_key, first.clip_key)


def test_chain_set_back_shows_as_two_clips_on_one_line(device: SampleDevice) -> None:
    first = _small(device)
    device.chain = CustodyChain(device.signer, ChainHead())
    second = _small(device)
    assert first.first_prev == second.first_prev == GENESIS

    (found,) = _all_breaks([first, second])
    assert "two clips follow the same custody line" in found.problem


def test_hash_is_found_at_line_boundaries_only() -> None:
    links = ClipLinks("k", "d", "e", 0, 1, GENESIS, GENESIS, bytes(range(64)))
    assert links.holds(bytes(range(32)).hex())
    assert links.holds(bytes(range(32, 64)).hex())
    assert not links.holds(bytes(range(1, 33)).hex())
