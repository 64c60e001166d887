"""Pre-flight and governor at the recorder: what is said, and that recording goes on as ever."""

from __future__ import annotations

from agent.config import Cards
from agent.core.label_book import STANDBY_OFF
from agent.drivers.power_fake import FakePower
from agent.drivers.thermal_fake import FakeThermal
from agent.ipc.messages import LensSeen
from agent.ports.power import PowerReading
from agent.ports.thermal import ThermalReading
from agent.services.tagger_link import LOOK_HZ, SELDOM_HZ
from tests.fake_tagger import LORES_HZ, FakeTagger
from tests.recorder_rig import MakeRig, Rig

CLEAR, COVERED, BLURRED = (120.0, 0.5), (4.0, 1.0), (100.0, 0.1)


def look(rig: Rig, tagger: FakeTagger, how: tuple[float, float]) -> None:
    """The tagger says nine times how the lens looks."""
    for _ in range(9):
        tagger.say(LensSeen(rig.clock.boot_ns(), *how))
    rig.run(0.5)


def faults(rig: Rig) -> list[str]:
    return [text for text in rig.recorder.status().faults if text.startswith("pre-flight")]


def test_fit_camera_says_so_in_status_and_in_the_reply_to_the_start(make_rig: MakeRig) -> None:
    rig = make_rig(power=FakePower(PowerReading(on_mains=False, percent=80)))
    tagger = FakeTagger(rig)
    look(rig, tagger, CLEAR)
    rig.until(lambda: "battery" in rig.recorder.status().preflight, "the battery")
    tagger.run(1)
    line = rig.start().status.preflight
    assert line.startswith("fit: lens clear, clock trusted, card ")
    assert line.endswith("battery 80 %, fake 1.0.0 on fake")
    assert faults(rig) == []


def test_covered_lens_is_a_fault_from_the_start_until_it_is_uncovered_and_all_is_recorded(
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    tagger = FakeTagger(rig)
    look(rig, tagger, COVERED)
    assert faults(rig) == []  # nobody is recording: the line in the status says it
    assert rig.recorder.status().preflight.startswith("not fit: lens covered")
    reply = rig.start()
    assert (reply.refused, reply.status.state) == ("", "recording")
    assert "not fit: lens covered" in reply.status.preflight
    tagger.run(1)
    assert faults(rig) == ["pre-flight: lens covered, or no light: take off the cap"]
    look(rig, tagger, CLEAR)
    assert faults(rig) == []
    look(rig, tagger, BLURRED)
    assert faults(rig) == []  # only what was so at the start is told as its fault
    tagger.run(1)
    rig.stop()
    rig.run(1.5)
    rig.settle()
    assert rig.item("record").record.gaps == ()


def test_fault_of_the_pre_flight_ends_with_the_session(make_rig: MakeRig) -> None:
    rig = make_rig()
    tagger = FakeTagger(rig)
    look(rig, tagger, BLURRED)
    rig.start()
    tagger.run(1)
    assert faults(rig) == ["pre-flight: picture blurred: wipe the lens"]
    rig.stop()
    rig.run(1.5)
    rig.settle()
    assert faults(rig) == []


def test_little_room_on_the_card_and_a_missing_model_are_said(make_rig: MakeRig) -> None:
    rig = make_rig(free_bytes=lambda: 270 * 2**20)
    rig.run(1)
    rig.written()
    line = rig.start().status.preflight
    assert "no model runs (tagger starting)" in line
    assert "min more: upload, or change it" in line
    rig.run(1)
    assert len(faults(rig)) == 1


def test_frames_to_look_at_are_many_while_a_card_counts_and_few_later(make_rig: MakeRig) -> None:
    rig = make_rig(cards=Cards(after_start_s=4))
    tagger = FakeTagger(rig)

    def looked_at(seconds: float) -> int:
        before = len(tagger.seen)
        tagger.run(seconds)
        return sum(frame.look for frame in tagger.seen[before:])

    assert abs(looked_at(4) - 4 * LOOK_HZ) <= 2
    rig.start()
    assert abs(looked_at(4) - 4 * LOOK_HZ) <= 2
    looked_at(1)
    assert abs(looked_at(8) - 8 * SELDOM_HZ) <= 2


def test_frames_are_looked_at_in_a_standby_that_scores_none(make_rig: MakeRig) -> None:
    rig = make_rig(score_in_standby=False)
    tagger = FakeTagger(rig)
    rig.run(4)
    tagger.take_all()
    assert {(frame.look, frame.score) for frame in tagger.seen} == {(True, False)}
    assert len(tagger.seen) >= 4 * LOOK_HZ - 2
    view = rig.recorder._book.view(0, rig.clock.boot_ns(), silent=False)
    assert set(view.lost) == {STANDBY_OFF}


def coverage(rig: Rig, tagger: FakeTagger) -> tuple[int, int, dict[str, int]]:
    """Of a session of six seconds: frames due, frames scored, and why the rest were not."""
    rig.start()
    for _ in range(12):
        rig.run(0.5)
        tagger.take_all()
    rig.stop()
    rig.run(1.5)
    tagger.take_all()
    rig.settle()
    sheets = [
        rig.item(name.rsplit("-", 1)[1]).sheet for name in rig.outbox() if "record" not in name
    ]
    assert sum(sheet.video.frames for sheet in sheets) >= 60
    lost: dict[str, int] = {}
    for sheet in sheets:
        for cause, count in sheet.coverage.lost.items():
            lost[cause] = lost.get(cause, 0) + count
    due = sum(sheet.coverage.due for sheet in sheets)
    return due, sum(sheet.coverage.scored for sheet in sheets), lost


def slowed(
    make_rig: MakeRig, reading: ThermalReading, max_gap_ms: int = 400
) -> tuple[Rig, FakeTagger]:
    rig = make_rig(thermal=FakeThermal(reading), pre_roll_s=0)
    tagger = FakeTagger(rig, max_gap_ms=max_gap_ms)
    rig.until(lambda: rig.recorder.status().scoring != "", "the governor")
    rig.run(1)
    return rig, tagger


def test_warm_board_has_every_second_frame_scored_and_the_sheet_says_why(
    make_rig: MakeRig,
) -> None:
    rig, tagger = slowed(make_rig, ThermalReading(celsius=77))
    assert rig.recorder.status().scoring == "every second frame is scored: board at 77 °C"
    due, scored, lost = coverage(rig, tagger)
    assert due >= 6 * LORES_HZ
    assert abs(scored - due / 2) <= 2
    assert lost == {"governor: board too hot": due - scored}


def test_hot_board_has_none_scored_and_every_frame_recorded(make_rig: MakeRig) -> None:
    rig, tagger = slowed(make_rig, ThermalReading(celsius=88))
    due, scored, lost = coverage(rig, tagger)
    assert (scored, lost) == (0, {"governor: board too hot": due})


def test_model_that_cannot_do_with_half_of_the_frames_gets_none(make_rig: MakeRig) -> None:
    slow = ThermalReading(celsius=40, slowed=("under-voltage",))
    rig, tagger = slowed(make_rig, slow, max_gap_ms=399)
    assert "firmware says under-voltage" in rig.recorder.status().scoring
    due, scored, lost = coverage(rig, tagger)
    assert (scored, lost) == (0, {"governor: board slowed by its firmware": due})
