"""A recorder in a process of its own, with a fake lens and everything else real, for killing.

python -m tests.crash.recorder_program FOLDER
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import zmq

from agent import config
from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key, load_recipients
from agent.crypto.seal import Sealer
from agent.drivers.camera_fake import FakeCamera
from agent.drivers.clock_system import SystemClock
from agent.ipc.notify import Notifier
from agent.services.loop import StopFlag, run_service
from agent.services.recorder import Recorder
from agent.storage.identity import next_boot


def main(folder: Path) -> None:
    settings = config.Settings(
        device=config.Device(device_id="cam01", kind="desk"),
        paths=config.Paths(state_dir=folder / "state", runtime_dir=folder / "r"),
        recorder=config.Recorder(pre_roll_s=1, post_roll_s=0, clip_s=2, label_grace_s=0.5),
    )
    stop, clock = StopFlag(), SystemClock()
    stop.install()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    recorder = Recorder(
        settings,
        camera=FakeCamera(clock, frame_rate_hz=10, wait=time.sleep),
        clock=clock,
        identity=next_boot(settings.paths.state_dir, random_bytes=os.urandom),
        sealer=Sealer(load_recipients(folder / "recipients.txt")),
        signer=Signer(load_private_key(folder / "custody.key", "custody key")),
        context=context,
        agent_version="0",
    )
    run_service(recorder, Notifier({}), stop, status="recording")
    context.destroy(linger=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
