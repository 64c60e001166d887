"""A recorder's status, for those who play one."""

from agent.ipc.messages import RecorderStatus

STATUS = RecorderStatus(
    device_id="cam01",
    agent_version="0.1.0",
    state="standby",
    session_id=None,
    clip_id=None,
    recorded_s=0.0,
    pre_roll_ready_s=0.0,
    pre_roll_asked_s=0.0,
    pre_roll_bytes=0,
    frames_captured=0,
    frames_written=0,
    last_durable_pts_ns=None,
    writer_queue_s=0.0,
    writer_stalls=0,
    tagger="ready",
    model=None,
    accelerator=None,
    coverage_lately=None,
    clock_trust="trusted",
    free_bytes=0,
)
