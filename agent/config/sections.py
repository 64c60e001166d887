"""The sections of `agent.toml`: what each key may be. Secrets are paths to files, never values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.config.base import ID_PATTERN, Section
from agent.config.base import bounded as _range
from agent.config.hands import Button, Indicator, KernelName, LineBias

# Times of day; that they differ is checked with the contradictions.
QUIET_HOURS_PATTERN = r"^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$"

CPU_PROVIDER = "CPUExecutionProvider"

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
InterfaceNames = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^[^/\s]{1,40}$")], ...], msgspec.Meta(max_length=32)
]


class Device(Section, frozen=True):
    """Who this camera is. `kind = "camera"` refuses fakes and replayed footage. `groups` and
    `hardware` are what pushed models are aimed by; `hardware` "" is the accelerator's name."""

    device_id: Id
    kind: Literal["camera", "desk"] = "camera"
    groups: Annotated[tuple[Id, ...], msgspec.Meta(max_length=32)] = ()
    hardware: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,40}$")] = ""


class Paths(Section, frozen=True):
    """`state_dir` survives a reboot; `runtime_dir` holds the sockets between the services."""

    state_dir: Path = Path("/var/lib/sightline")
    runtime_dir: Path = Path("/run/sightline")


class Camera(Section, frozen=True):
    """The lens. `footage` and `stream_copy` are read by the replay driver alone, `pipeline` by
    gstreamer, `number` by picamera2 and by gstreamer without a pipeline."""

    driver: Literal["replay", "gstreamer", "picamera2"] = "replay"
    footage: Path | None = None
    number: Annotated[int, _range(0, 7)] = 0
    pipeline: str = ""
    exposure: Literal["motion", "auto"] = "motion"
    width: Annotated[int, _range(160, 3840)] = 1280
    height: Annotated[int, _range(120, 2160)] = 720
    frame_rate_hz: Annotated[int, _range(1, 120)] = 30
    stream_copy: Literal["auto", "never"] = "auto"


class Encoder(Section, frozen=True):
    """H.264. `preset` and `threads` are libx264's; one closed GOP per second, no B-frames, headers
    repeated. `hardware`: what the camera's board encodes with."""

    driver: Literal["x264", "hardware"] = "x264"
    bitrate_kbps: Annotated[int, _range(100, 50_000)] = 4_000
    preset: Literal["ultrafast", "superfast", "veryfast"] = "ultrafast"
    threads: Annotated[int, _range(1, 8)] = 1


class Recorder(Section, frozen=True):
    """The recording path. Times in seconds unless the name says otherwise."""

    pre_roll_s: Annotated[float, _range(0, 120)] = 30.0
    post_roll_s: Annotated[float, _range(0, 120)] = 5.0
    clip_s: Annotated[float, _range(2, 300)] = 30.0
    session_cap_s: Annotated[float, _range(10, 86_400)] = 4 * 3600.0
    label_grace_s: Annotated[float, _range(0, 60)] = 5.0
    writer_queue_s: Annotated[float, _range(1, 60)] = 15.0
    require_plan: bool = False
    least_card_minutes: Annotated[float, _range(0, 1440)] = 30.0


class Tagger(Section, frozen=True):
    """The accelerator and the model. `providers` are ONNX Runtime's, a delegate is TFLite's. What
    was asked for must really run a part of the model. `bundle` overrides the active slot (a desk,
    a test)."""

    accelerator: Literal["onnxruntime", "tflite", "edgetpu", "fake"] = "onnxruntime"
    providers: tuple[str, ...] = (CPU_PROVIDER,)
    provider_options: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    delegate: str = ""
    delegate_options: dict[str, str] = msgspec.field(default_factory=dict)
    allow_cpu: bool = False
    threads: Annotated[int, _range(1, 8)] = 1
    bundle: Path | None = None
    score_in_standby: bool = True


class Cards(Section, frozen=True):
    """Scenario cards, held to the lens."""

    read: bool = True
    before_start_s: Annotated[float, _range(5, 3600)] = 120.0
    after_start_s: Annotated[float, _range(0, 300)] = 20.0


class Uplink(Section, frozen=True):
    """The broker connection: MQTT v5 over mutual TLS 1.3. Sizes in bytes."""

    host: str = "localhost"
    port: Port = 8883
    ca_file: Path = Path("/etc/sightline/tls/ca.pem")
    cert_file: Path = Path("/etc/sightline/tls/device.pem")
    key_file: Path = Path("/etc/sightline/tls/device.key")
    keepalive_s: Annotated[int, _range(5, 600)] = 30
    part_bytes: Annotated[int, _range(16 * 1024, 1024 * 1024)] = 256 * 1024
    window_cap_bytes: Annotated[int, _range(64 * 1024, 64 * 1024 * 1024)] = 4 * 1024 * 1024
    bandwidth_cap_kbps: Annotated[int, _range(0, 10_000_000)] = 0
    status_every_s: Annotated[float, _range(1, 3600)] = 10.0


class Network(Section, frozen=True):
    """When clips may be sent. While they may not, they wait on the card; the status, under 1 kB
    every `uplink.status_every_s`, goes on and says why. `interfaces` and `metered_interfaces` are
    names of network interfaces or shell patterns of them; what leads to the broker is compared."""

    interfaces: InterfaceNames = ()
    metered_interfaces: InterfaceNames = ()
    allow_metered: bool = False
    only_when_charging: bool = False
    quiet_hours: Annotated[str, msgspec.Meta(pattern=QUIET_HOURS_PATTERN)] = ""


class Trust(Section, frozen=True):
    """Key files. `recipients_file`: one age public key a line; `receipt_key_file` and
    `card_key_file`: PEM."""

    recipients_file: Path = Path("/etc/sightline/recipients.txt")
    receipt_key_file: Path = Path("/etc/sightline/receipt.pub.pem")
    custody_key_file: Path = Path("/etc/sightline/custody.key")
    card_key_file: Path | None = None


class Models(Section, frozen=True):
    """Pushed models. `root_file`: whom the fleet's model updates must be signed by, from the
    image; without that file there are none. A failed update is tried again within `retry_s`."""

    root_file: Path = Path("/etc/sightline/models-root.json")
    retry_s: Annotated[float, _range(1, 86_400)] = 3600.0


class Retention(Section, frozen=True):
    """What stays on the card. Clips with a receipt make room first, oldest first; a clip without
    one is deleted only with `overwrite_unsent`."""

    sent_keep_s: Annotated[float, _range(0, 30 * 86_400)] = 86_400.0
    max_age_s: Annotated[float, _range(0, 365 * 86_400)] = 0.0
    min_free_bytes: Annotated[int, _range(0, 1 << 40)] = 256 * 1024 * 1024
    spool_budget_bytes: Annotated[int, _range(0, 1 << 50)] = 0
    slack_bytes: Annotated[int, _range(0, 1 << 40)] = 64 * 1024 * 1024
    overwrite_unsent: bool = False


class Power(Section, frozen=True):
    """A low battery. Percent of a full one; 0 turns a threshold off. `failing_line`: a GPIO line by
    which a UPS or a charger says that power is about to go, beside what `driver` knows."""

    driver: Literal["sysfs", "none"] = "sysfs"
    supplies_dir: Path = Path("/sys/class/power_supply")
    failing_chip: KernelName = ""
    failing_line: KernelName = ""
    failing_active_low: bool = False
    failing_bias: LineBias = "none"
    warn_below_percent: Annotated[float, _range(0, 100)] = 15.0
    stop_below_percent: Annotated[float, _range(0, 100)] = 5.0
    hysteresis_percent: Annotated[float, _range(0, 50)] = 3.0


class Governor(Section, frozen=True):
    """When fewer frames are scored than are due; recording goes on as ever. A Raspberry Pi slows
    itself down from 80 degrees on."""

    driver: Literal["sysfs", "none"] = "sysfs"
    warm_c: Annotated[float, _range(30, 120)] = 75.0
    hot_c: Annotated[float, _range(30, 120)] = 82.0
    hysteresis_c: Annotated[float, _range(0, 30)] = 5.0
    battery_below_percent: Annotated[float, _range(0, 100)] = 20.0
    hysteresis_percent: Annotated[float, _range(0, 50)] = 3.0
    hold_s: Annotated[float, _range(0, 3600)] = 30.0


class Supervisor(Section, frozen=True):
    """`sightline-agent run` on a machine without systemd."""

    watchdog_s: Annotated[float, _range(2, 600)] = 15.0


class Settings(Section, frozen=True):
    """Everything the agent is told. `file` is where it came from, for messages."""

    device: Device
    paths: Paths = Paths()
    camera: Camera = Camera()
    encoder: Encoder = Encoder()
    recorder: Recorder = Recorder()
    tagger: Tagger = Tagger()
    cards: Cards = Cards()
    uplink: Uplink = Uplink()
    network: Network = Network()
    trust: Trust = Trust()
    models: Models = Models()
    retention: Retention = Retention()
    power: Power = Power()
    governor: Governor = Governor()
    button: Button = Button()
    indicator: Indicator = Indicator()
    supervisor: Supervisor = Supervisor()

    @property
    def hardware(self) -> str:
        """The tag that pushed models are made for."""
        return self.device.hardware or self.tagger.accelerator
