"""The sheet of a recovered clip: what the fragments and the custody lines say, and no more."""

from __future__ import annotations

import pyrage
import pytest
from msgspec import structs

from agent.crypto.custody import verify_chain
from agent.wire.custody import CustodyLine
from agent.wire.label_sheet import FragmentLabels
from agent.wire.manifest import Manifest
from collector.sheets import NO_LABELS_CAUSE, build_sheet
from tests.sample_clip import SECOND_NS, SampleDevice

Inputs = tuple[Manifest, tuple[CustodyLine, ...], list[FragmentLabels]]


@pytest.fixture
def inputs() -> Inputs:
    device = SampleDevice("cam01", pyrage.x25519.Identity.generate().to_public())
    clip = device.recovered_clip()
    lines = verify_chain(clip.custody, lambda _kid: device.key.public_key())
    start = clip.manifest.start_pts_ns
    labels = [device.fragment_labels(device.name(0), index, start) for index in range(3)]
    return clip.manifest, lines, labels


def test_times_count_from_the_clips_first_frame(inputs: Inputs) -> None:
    sheet = build_sheet(*inputs)
    assert sheet.start_pts_ns == inputs[0].start_pts_ns
    assert sheet.scores.offsets_ns == (
        0, 5, SECOND_NS, SECOND_NS + 5, 2 * SECOND_NS, 2 * SECOND_NS + 5
    )  # fmt: skip
    assert [mark.offset_ns for mark in sheet.marks] == [7]


def test_span_over_several_fragments_is_one_tag_as_last_known_cut_to_the_clip(
    inputs: Inputs,
) -> None:
    (tag,) = build_sheet(*inputs).tags
    assert (tag.start_ns, tag.end_ns) == (0, 3 * SECOND_NS)
    assert tag.continued
    assert tag.continues


def test_declared_words_are_said_once(inputs: Inputs) -> None:
    assert len(build_sheet(*inputs).declared) == 1


def test_fragment_without_labels_counts_as_lost_coverage(inputs: Inputs) -> None:
    manifest, lines, labels = inputs
    sheet = build_sheet(manifest, lines, labels[:2])
    assert (sheet.coverage.due, sheet.coverage.scored) == (45, 24)
    assert sheet.coverage.lost == {"queue full": 6, NO_LABELS_CAUSE: 15}
    assert sheet.coverage.share == pytest.approx(24 / 45)


def test_clip_without_any_labels_says_so_and_invents_nothing(inputs: Inputs) -> None:
    manifest, lines, _ = inputs
    sheet = build_sheet(manifest, lines, [])
    assert (sheet.tags, sheet.marks, sheet.declared, sheet.model) == ((), (), (), None)
    assert sheet.coverage.lost == {NO_LABELS_CAUSE: 0}
    assert sheet.coverage.share == 0
    assert (sheet.video.width, sheet.video.encoder) == (0, "unknown")
    assert (sheet.clock.wall_ns, sheet.clock.trust) == (lines[0].wall_ns, "trusted")


def test_gap_is_taken_from_the_signed_line_where_both_name_it(inputs: Inputs) -> None:
    manifest, lines, labels = inputs
    (gap,) = build_sheet(manifest, lines, labels).gaps
    doubled = structs.replace(labels[0], gaps=(structs.replace(gap, cause="hearsay"),))
    assert build_sheet(manifest, lines, [doubled]).gaps == (gap,)


def test_scores_of_another_model_are_not_mixed_in(inputs: Inputs) -> None:
    manifest, lines, labels = inputs
    other = structs.replace(labels[1], scores=structs.replace(labels[1].scores, labels=("x",)))
    sheet = build_sheet(manifest, lines, [labels[0], other, labels[2]])
    assert sheet.scores.labels == ("muzzle",)
    assert len(sheet.scores.values) == 4
