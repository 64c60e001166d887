"""What a kill of the broker costs: bytes sent again, counted by the camera itself."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from agent.config import Uplink
from tests.bench.upload_site import UploadSite

CLIPS = 12
KILLS = 3
_SENT_AGAIN = re.compile(r"is stored \((\d+) of its bytes were sent again\)")


class KillFigures(msgspec.Struct, frozen=True, kw_only=True):
    """`window_bytes`: the most that may be in flight, so the most that a kill may cost."""

    kills: int
    resent_bytes: int
    total_bytes: int
    window_bytes: int

    @property
    def per_kill_bytes(self) -> float:
        return self.resent_bytes / self.kills


def measure(folder: Path) -> KillFigures:
    """KILLS SIGKILLs of Mosquitto in one upload, each while parts are on their way."""
    site = UploadSite(folder / "kills", cameras=1, collectors=1, clips=CLIPS)
    with site.broker, site.running():
        site.fill_outboxes()
        for number in range(1, KILLS + 1):
            due = CLIPS * number // (KILLS + 1)
            site.wait(lambda due=due: site.stored_clips >= due, f"{due} clips")  # type: ignore[misc]
            site.broker.kill()
            site.broker.start()
        site.wait(lambda: site.has_ended, "all receipts")
    log = "".join(site.logs())
    return KillFigures(
        kills=KILLS,
        resent_bytes=sum(int(found) for found in _SENT_AGAIN.findall(log)),
        total_bytes=site.total_bytes,
        window_bytes=Uplink().window_cap_bytes,
    )


def report(figures: KillFigures) -> list[str]:
    return [
        f"{figures.kills} kills of the broker in {figures.total_bytes / 1e6:.0f} MB: "
        f"{figures.per_kill_bytes / 1e6:.2f} MB sent again a kill "
        f"(must be at most the window, {figures.window_bytes / 1e6:.2f} MB)"
    ]
