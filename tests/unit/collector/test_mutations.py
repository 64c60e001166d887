"""Every way to tamper with a clip's fragments and custody lines, one by one: refused and reported.

Where the collector lacks a key it says `later`, with the reason, as it does for a device that was
provisioned this minute: such a clip is not stored either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest
from msgspec import structs

from agent.wire.ids import ClipName
from agent.wire.manifest import SHEET_FILE, fragment_file
from agent.wire.transfer import Later, Need, Never
from tests.collector_rig import PART_BYTES, Camera, Rig, later, never, stored
from tests.sample_clip import EPOCH, SECOND_NS, SampleClip, SampleDevice

Lines = tuple[str, ...]
FRAGMENTS = 3
LINES = FRAGMENTS + 2  # open and close


class OtherBoot(SampleDevice):
    """The same camera with the same key, one boot later."""

    def name(self, clip: int | None) -> ClipName:
        return ClipName(device_id=self.device_id, epoch=EPOCH, boot=2, session=1, clip=clip)


class Sources:
    """The clip that is tampered with, and honest ones that pieces are taken from."""

    def __init__(self, rig: Rig) -> None:
        device, other = rig.device("cam01"), rig.device("cam02", seed=2)
        later_boot = OtherBoot("cam01", rig.identity.to_public(), key=device.key, seed=3)
        self.clip = device.clip(count=FRAGMENTS)
        self.others = {
            "another clip": device.clip(count=FRAGMENTS),
            "another device": other.clip(count=FRAGMENTS),
            "another boot": later_boot.clip(count=FRAGMENTS),
        }


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def sources(rig: Rig) -> Sources:
    return Sources(rig)


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def file_mutations(sources: Sources) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Name of the mutation, and the files that replace honest ones."""
    files = sources.clip.files

    def fit(content: bytes, name: str) -> bytes:
        """age adds a line of random length: so that each file begins where the manifest says."""
        return content[: len(files[name])].ljust(len(files[name]), b"\0")

    names = [fragment_file(index) for index in range(FRAGMENTS)]
    for order in permutations(names):
        if list(order) != names:
            pairs = zip(names, order, strict=True)
            moved = {to: fit(files[source], to) for to, source in pairs if to != source}
            yield f"reordered as {order}", moved
    for source in names:
        for to in names:
            if source != to:
                yield f"{source} doubled over {to}", {to: fit(files[source], to)}
    for name in [*names, SHEET_FILE]:
        content = files[name]
        for at in (0, 30, len(content) // 2, len(content) - 1):
            yield f"bit of byte {at} of {name}", {name: flipped(content, at)}
        for kept in (0, 1, len(content) // 2, len(content) - 1):
            yield f"{name} cut to {kept}", {name: fit(content[:kept], name)}
        for whose, other in sources.others.items():
            yield f"{name} of {whose}", {name: fit(other.files[name], name)}


def sent_again(camera: Camera, clip: SampleClip) -> Never | Need:
    """What a camera does whose files are damaged: it sends again what is asked for, each once."""
    answer = camera.deliver(clip)
    for _ in range(FRAGMENTS + 1):
        if isinstance(answer, Need):
            answer = camera.deliver(clip)
    if not isinstance(answer, Never | Need):
        raise AssertionError(f"expected a refusal or nothing, got {answer}")
    return answer


def test_no_tampered_file_is_ever_stored_and_each_is_reported(rig: Rig) -> None:
    camera = Camera(rig)
    count = 0
    # A clip that was refused stays refused: so each mutation is tried on a clip of its own.
    for number, (what, _) in enumerate(file_mutations(Sources(rig))):
        sources = Sources(rig)
        _, changed = list(file_mutations(sources))[number]
        clip = structs.replace(sources.clip, files={**sources.clip.files, **changed})
        refusal = rig.refusal(never(sent_again(camera, clip)))
        assert any(name in refusal.why for name in changed), what
        assert rig.said("refused")[-1]["why"] == refusal.why, what
        count += 1
    assert count > 40
    assert not rig.rows("SELECT * FROM clips")
    assert not list((rig.root / "store" / "store").iterdir())
    assert len(rig.said("refused")) == count


@pytest.mark.parametrize("dropped", [*range(FRAGMENTS), SHEET_FILE])
def test_clip_with_a_file_left_out_never_becomes_whole(
    rig: Rig, sources: Sources, dropped: int | str
) -> None:
    camera, honest = Camera(rig), sources.clip
    left_out = fragment_file(dropped) if isinstance(dropped, int) else dropped
    files = {**honest.files, left_out: b""}
    answer = sent_again(camera, structs.replace(honest, files=files))
    assert isinstance(answer, Need | Never)
    assert not rig.rows("SELECT * FROM clips")
    if isinstance(answer, Need):
        assert answer.contiguous < len(honest.parts(PART_BYTES))


def line_mutations(sources: Sources) -> Iterator[tuple[str, Lines]]:
    lines = sources.clip.custody
    assert len(lines) == LINES
    for at in range(LINES):
        yield f"line {at} left out", (*lines[:at], *lines[at + 1 :])
        yield f"line {at} doubled", (*lines[: at + 1], *lines[at:])
        yield f"line {at} empty", (*lines[:at], "", *lines[at + 1 :])
        yield f"cut before line {at}", lines[:at]
        for other in range(at + 1, LINES):
            swapped = list(lines)
            swapped[at], swapped[other] = swapped[other], swapped[at]
            yield f"lines {at} and {other} swapped", tuple(swapped)
        for kept in (1, len(lines[at]) // 2, len(lines[at]) - 1):
            yield f"line {at} cut to {kept}", (*lines[:at], lines[at][:kept], *lines[at + 1 :])
        for part in range(3):
            yield (
                f"bit of part {part} of line {at}",
                (*lines[:at], flipped_part(lines[at], part), *lines[at + 1 :]),
            )
        for whose, clip in sources.others.items():
            replaced = (*lines[:at], clip.custody[at], *lines[at + 1 :])
            yield f"line {at} of {whose}", replaced
    for whose, clip in sources.others.items():
        yield f"all lines of {whose}", clip.custody
        yield f"followed by the lines of {whose}", (*lines, *clip.custody)
        yield f"preceded by the lines of {whose}", (*clip.custody, *lines)
        yield f"followed by the end of {whose}", (*lines[:-1], clip.custody[-1])


def flipped_part(line: str, part: int) -> str:
    """Another character in the middle of header, payload or signature."""
    parts = line.split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    return ".".join(parts)


def test_no_tampered_custody_line_is_believed_and_each_is_reported(
    rig: Rig, sources: Sources
) -> None:
    camera, clip = Camera(rig), sources.clip
    refused = waiting = 0
    for what, lines in line_mutations(sources):
        if not lines:
            continue  # no Open can say so: its decoder wants one line at least
        opened = structs.replace(clip.opened(PART_BYTES), custody=lines)
        answer = camera.send_open(clip.clip_id, opened)
        if isinstance(answer, Later):
            assert "is not known here" in answer.why, what
            waiting += 1
            continue
        refusal = rig.refusal(never(answer))
        assert "custody" in refusal.why, what
        assert refusal.why in {word["why"] for word in rig.said("refused")}, what
        assert refusal.why in rig.log.getvalue(), what
        refused += 1
    assert refused > 60
    assert waiting > 0
    assert len({str(word["why"]) for word in rig.said("refused")}) > 10
    assert not list((rig.root / "store" / "incoming").iterdir())
    # The honest lines are welcome all the same.
    stored(camera.deliver(clip))


def test_key_that_nobody_knows_is_said_to_people_too(rig: Rig, sources: Sources) -> None:
    clip = sources.clip
    lines = (clip.custody[0], sources.others["another device"].custody[1], *clip.custody[2:])
    answer = Camera(rig).send_open(
        clip.clip_id, structs.replace(clip.opened(PART_BYTES), custody=lines)
    )
    assert later(answer).why in rig.log.getvalue()


@pytest.mark.parametrize("whose", ["another clip", "another device", "another boot"])
def test_whole_open_of_another_is_refused_on_this_topic(
    rig: Rig, sources: Sources, whose: str
) -> None:
    opened = sources.others[whose].opened(PART_BYTES)
    answer = Camera(rig).send_open(sources.clip.clip_id, opened)
    assert "came as" in rig.refusal(never(answer)).why


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda clip: {"files": clip.manifest.files[::-1]}, id="files reversed"),
        pytest.param(lambda clip: {"files": clip.manifest.files * 2}, id="files doubled"),
        pytest.param(lambda clip: {"files": clip.manifest.files[1:]}, id="no sheet"),
        pytest.param(lambda clip: {"start_pts_ns": 0}, id="times"),
        pytest.param(lambda clip: {"priority": "marked"}, id="priority"),
        pytest.param(lambda clip: {"recovered": True}, id="recovered"),
        pytest.param(lambda clip: {"frames": clip.manifest.frames + 1}, id="frames"),
        pytest.param(lambda clip: {"frames": 10**30}, id="a number of 100 bits"),
        pytest.param(lambda clip: {"start_pts_ns": -(10**30)}, id="a time of 100 bits"),
    ],
)
def test_no_tampered_manifest_is_believed(
    rig: Rig, sources: Sources, edit: Callable[[SampleClip], dict[str, object]]
) -> None:
    clip = sources.clip
    changed = structs.replace(clip, manifest=structs.replace(clip.manifest, **edit(clip)))
    answer = Camera(rig).send_open(clip.clip_id, changed.opened(PART_BYTES))
    assert rig.refusal(never(answer)).why == rig.said("refused")[-1]["why"]


@pytest.mark.parametrize("start_pts_ns", [1 << 62, 1 << 63, 10**30, -(1 << 62)])
@pytest.mark.parametrize("kind", ["clip", "recovered_clip", "record"])
def test_number_that_nothing_can_store_is_refused_though_the_device_itself_signed_it(
    rig: Rig, start_pts_ns: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.sample_clip.START_PTS_NS", start_pts_ns)
    device, camera = rig.device(), Camera(rig)
    never(camera.deliver(getattr(device, kind)()))
    rig.stop()
    rig.start()
    monkeypatch.undo()
    stored(camera.deliver(rig.device(seed=5).clip()))


@pytest.mark.parametrize("start_pts_ns", [(1 << 62) - 90 * SECOND_NS, -(1 << 62) + SECOND_NS])
def test_largest_times_that_are_allowed_can_be_stored(
    rig: Rig, start_pts_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.sample_clip.START_PTS_NS", start_pts_ns)
    device, camera = rig.device(), Camera(rig)
    stored(camera.deliver(device.clip()))
    stored(camera.deliver(device.recovered_clip()))
