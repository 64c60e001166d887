"""The lease for changing the model, with a real recorder at the other end of the socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from agent.services.standby_lease import StandbyLease
from tests.recorder_rig import MakeRig, Rig


@contextmanager
def lease_of(rig: Rig) -> Iterator[StandbyLease]:
    with closing(StandbyLease(rig.context, rig.settings.paths.runtime_dir)) as lease:
        yield lease


def answered(rig: Rig, lease: StandbyLease) -> None:
    rig.until(lambda: lease.poll() or lease.state != "asked", "an answer")


def test_in_standby_the_recorder_gives_it_and_a_start_press_takes_it_back(
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    with lease_of(rig) as lease:
        lease.ask()
        answered(rig, lease)
        assert lease.is_held
        assert rig.start().refused == ""
        rig.until(lease.poll, "the recorder's word")
        assert not lease.is_held
        assert not lease.confirm(10)


def test_in_a_session_it_is_refused_and_after_it_given(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.start()
    with lease_of(rig) as lease:
        lease.ask()
        answered(rig, lease)
        assert not lease.is_held
        rig.stop()
        rig.run(8)
        rig.settle()
        lease.ask()
        answered(rig, lease)
        assert lease.is_held


def test_a_holder_that_died_keeps_nobody_from_recording(make_rig: MakeRig) -> None:
    rig = make_rig()
    with lease_of(rig) as lease:
        lease.ask()
        answered(rig, lease)
    assert rig.start().refused == ""
    assert rig.stop().refused == ""
