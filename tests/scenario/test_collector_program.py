"""The collector as a program, over a real Mosquitto with TLS: stored, killed, resumed, stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest

from agent.crypto.keys import load_private_key, load_recipients
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles
from agent.ports.broker import Arrived, Connected
from agent.wire.codec import decode_union, encode
from agent.wire.topics import down_clips, up_manifest, up_part
from agent.wire.transfer import CRC_PROPERTY, ClipState, Need, Stored, unpack_have
from firmware_tools.dev_fleet import Fleet
from firmware_tools.local_broker import LocalBroker
from tests.sample_clip import SampleClip, SampleDevice

pytestmark = pytest.mark.scenario

DEADLINE_S = 30.0
PART_BYTES = 64 * 1024


class Program:
    """`python -m collector run`, ready when it says so."""

    def __init__(self, fleet: Fleet) -> None:
        self.config = fleet.collector.directory / "collector.toml"
        self.config.write_text(
            f'[collector]\nname = "{fleet.collector.collector_id}"\nstore_dir = "store"\n'
            f"[broker]\nport = {fleet.port}\n[transfer]\nwindow_bytes = {2 * PART_BYTES}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "collector", "run", "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ready = self.next_event()

    def next_event(self) -> dict[str, object]:
        if self.process.stdout is None:
            raise RuntimeError("started without a pipe")
        line: dict[str, object] = json.loads(self.process.stdout.readline())
        return line

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(DEADLINE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Sender:
    """A camera's side of the wire over a real connection, within the collector's window."""

    def __init__(self, fleet: Fleet) -> None:
        files = fleet.devices[0]
        self.device_id = files.device_id
        self.device = SampleDevice(
            files.device_id,
            load_recipients(files.recipients_file)[0],
            key=load_private_key(files.custody_key_file, "custody key"),
        )
        tls = files.tls
        self._broker = PahoBroker(
            host=fleet.host,
            port=fleet.port,
            client_id=files.device_id,
            tls=TlsFiles(ca_file=tls.ca_file, cert_file=tls.cert_file, key_file=tls.key_file),
        )
        self._broker.subscribe(down_clips(files.device_id))
        self._broker.start()
        self._until(Connected)

    def open(self, clip: SampleClip) -> Need | Stored:
        opened = encode(clip.opened(PART_BYTES))
        self._broker.publish(up_manifest(self.device_id, clip.clip_id), opened)
        return self.answer()

    def answer(self) -> Need | Stored:
        state = decode_union(ClipState, self._until(Arrived).payload)
        if not isinstance(state, Need | Stored):
            raise AssertionError(f"expected `need` or `stored`, got {state}")
        return state

    def send(self, clip: SampleClip, *, until_contiguous: int = 10**9) -> Need | Stored:
        """Send what is needed until the receipt comes, or that many parts are durable."""
        state = self.open(clip)
        parts = clip.parts(PART_BYTES)
        sent: set[int] = set()
        while isinstance(state, Need) and state.contiguous < until_contiguous:
            durable = unpack_have(state, len(parts))
            room = state.window_bytes // PART_BYTES - len(sent - durable)
            for number in [n for n in range(len(parts)) if n not in durable | sent][: max(0, room)]:
                crc = f"{google_crc32c.value(parts[number]):08x}"
                self._broker.publish(
                    up_part(self.device_id, clip.clip_id, number),
                    parts[number],
                    properties={CRC_PROPERTY: crc},
                )
                sent.add(number)
            state = self.answer()
        return state

    def close(self) -> None:
        self._broker.stop()

    def _until(self, kind: type) -> Arrived:
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            item = self._broker.read(0.2)
            if isinstance(item, kind):
                return item  # type: ignore[return-value]
        raise AssertionError(f"no {kind.__name__} within {DEADLINE_S:.0f} s")


@pytest.fixture
def sender(fleet: Fleet, broker: LocalBroker) -> Iterator[Sender]:
    sender = Sender(fleet)
    yield sender
    sender.close()


def test_clip_survives_a_kill_of_the_collector_and_is_stored_once(
    fleet: Fleet, sender: Sender
) -> None:
    program = Program(fleet)
    assert program.ready["event"] == "ready"
    clip = sender.device.clip(count=6, fragment_bytes=300_000)
    before = sender.send(clip, until_contiguous=8)
    assert isinstance(before, Need)
    program.end(signal.SIGKILL)

    program = Program(fleet)
    resumed = sender.answer()
    assert isinstance(resumed, Need)
    assert resumed.contiguous >= before.contiguous
    receipt = sender.send(clip)
    event = program.next_event()
    program.end(signal.SIGKILL)
    program = Program(fleet)

    assert sender.open(clip) == receipt
    assert program.end(signal.SIGTERM) == 0
    folder = Path(str(event["folder"]))
    assert (folder / "clip.mp4").read_bytes() == clip.plain
    assert [path.name for path in folder.parent.iterdir()] == [clip.clip_id]


def test_stored_video_is_what_age_itself_makes_of_the_fragments(
    fleet: Fleet, sender: Sender, tmp_path: Path
) -> None:
    age = shutil.which("age")
    if age is None:
        pytest.skip("age is not installed")
    program = Program(fleet)
    clip = sender.device.clip(count=3, fragment_bytes=100_000)
    assert isinstance(sender.send(clip), Stored)
    folder = Path(str(program.next_event()["folder"]))
    program.end(signal.SIGTERM)
    clip.write(tmp_path / "outbox")

    opened = b"".join(
        subprocess.run(
            [age, "-d", "-i", str(fleet.collector.age_identity_file), str(path)],
            check=True,
            capture_output=True,
        ).stdout
        for path in sorted((tmp_path / "outbox").glob("[0-9][0-9][0-9][0-9].age"))
    )
    assert opened == (folder / "clip.mp4").read_bytes()
