"""Settings from one TOML file: frozen, range-checked at load, unknown keys refused.

Every refusal is a `ConfigError` that names file, key, value and allowed range. Secrets are
paths to files, never values. `load_settings` is the only way in.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from agent.errors import ConfigError

ID_PATTERN = r"^[A-Za-z0-9_-]{1,40}$"

# Times of day; that they differ is checked with the contradictions.
QUIET_HOURS_PATTERN = r"^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$"

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
InterfaceNames = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^[^/\s]{1,40}$")], ...], msgspec.Meta(max_length=32)
]


def _range(ge: float, le: float) -> Any:
    return msgspec.Meta(ge=ge, le=le)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: frozen, keyword only, a typo is an error."""


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
    """The lens. `footage` is read by the replay driver alone: a folder of MP4 files or one file."""

    driver: Literal["replay"] = "replay"
    footage: Path | None = None
    width: Annotated[int, _range(160, 3840)] = 1280
    height: Annotated[int, _range(120, 2160)] = 720
    frame_rate_hz: Annotated[int, _range(1, 120)] = 30
    stream_copy: Literal["auto", "never"] = "auto"


class Encoder(Section, frozen=True):
    """H.264. `preset` is libx264's; one closed GOP per second, no B-frames, headers repeated."""

    driver: Literal["x264"] = "x264"
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


class Tagger(Section, frozen=True):
    """The accelerator and the model. `bundle` overrides the active slot (a desk, a test)."""

    accelerator: Literal["onnxruntime", "fake"] = "onnxruntime"
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    threads: Annotated[int, _range(1, 8)] = 1
    bundle: Path | None = None
    score_in_standby: bool = True


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
    """Key files. `recipients_file`: one age public key a line; `receipt_key_file`: PEM."""

    recipients_file: Path = Path("/etc/sightline/recipients.txt")
    receipt_key_file: Path = Path("/etc/sightline/receipt.pub.pem")
    custody_key_file: Path = Path("/etc/sightline/custody.key")


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
    """A low battery. Percent of a full one; 0 turns a threshold off."""

    driver: Literal["sysfs", "none"] = "sysfs"
    supplies_dir: Path = Path("/sys/class/power_supply")
    warn_below_percent: Annotated[float, _range(0, 100)] = 15.0
    stop_below_percent: Annotated[float, _range(0, 100)] = 5.0
    hysteresis_percent: Annotated[float, _range(0, 50)] = 3.0


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
    uplink: Uplink = Uplink()
    network: Network = Network()
    trust: Trust = Trust()
    models: Models = Models()
    retention: Retention = Retention()
    power: Power = Power()
    supervisor: Supervisor = Supervisor()

    @property
    def hardware(self) -> str:
        """The tag that pushed models are made for."""
        return self.device.hardware or self.tagger.accelerator


AnySettings = TypeVar("AnySettings", bound=msgspec.Struct)


def load_settings(file: Path) -> Settings:
    """Read and check `file`. Relative paths in it are relative to the folder of the file.

    Raises ConfigError: file missing or unreadable, not TOML, a key unknown, of the wrong type or
    out of range, or settings that contradict each other.
    """
    settings = load_toml(file, Settings, remedy="run `sightline-agent check-config`")
    _refuse_contradictions(str(file), settings)
    return settings


def load_toml(file: Path, kind: type[AnySettings], *, remedy: str) -> AnySettings:
    """The TOML `file` as `kind`, a struct of Sections. Relative paths become relative to the folder
    of the file. Raises ConfigError; `remedy` is what it advises for a key that cannot be used."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            str(file), "", f"cannot be read ({reason})", remedy="give the path with --config FILE"
        ) from exc
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(file), "", f"not TOML: {exc}", remedy="mend that line") from exc
    return _anchor_paths(_convert(file, table, kind, remedy), file.resolve().parent)


def _convert(
    file: Path, table: dict[str, Any], kind: type[AnySettings], remedy: str
) -> AnySettings:
    try:
        return msgspec.convert(table, kind, dec_hook=_path_from_text)
    except msgspec.ValidationError as exc:
        problem, key = _split_path(str(exc))
        key, shown = _locate(table, key, problem)
        raise ConfigError(str(file), key, f"{problem}{shown}", remedy=remedy) from exc


def _path_from_text(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"Expected a path as text, got `{type(value).__name__}`")


def _split_path(message: str) -> tuple[str, str]:
    problem, _, path = message.partition(" - at `$")
    return problem, path.rstrip("`").lstrip(".")


def _locate(table: dict[str, Any], key: str, problem: str) -> tuple[str, str]:
    """The full dotted key (an unknown field is named in the message) and the value as text."""
    if "unknown field" in problem:
        field = problem.rsplit("`", 2)[1]
        full = f"{key}.{field}" if key else field
        return full, ""
    value: Any = table
    for step in key.split(".") if key else []:
        value = value.get(step) if isinstance(value, dict) else None
    return key, f" (it is {value!r})" if key and not isinstance(value, dict) else ""


def _anchor_paths(settings: AnySettings, folder: Path) -> AnySettings:
    sections: dict[str, Section] = {}
    for name in settings.__struct_fields__:
        section = getattr(settings, name)
        moved = {
            field: _anchored(getattr(section, field), folder) for field in section.__struct_fields__
        }
        sections[name] = msgspec.structs.replace(section, **moved)
    return msgspec.structs.replace(settings, **sections)


def _anchored(value: Any, folder: Path) -> Any:
    """`value` with each path in it made absolute (`folder / absolute` is the absolute one)."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_anchored(item, folder) for item in value)
    return value


def _refuse_contradictions(file: str, settings: Settings) -> None:
    if settings.camera.driver == "replay" and settings.camera.footage is None:
        raise ConfigError(
            file,
            "camera.footage",
            "missing",
            remedy="the replay driver needs a folder of MP4 files",
        )
    if settings.camera.width % 2 or settings.camera.height % 2:
        raise ConfigError(
            file, "camera.width", "width and height must be even", remedy="I420 halves both"
        )
    if settings.device.kind == "camera":
        fakes = {
            "camera.driver": settings.camera.driver == "replay",
            "tagger.accelerator": settings.tagger.accelerator == "fake",
        }
        for key, is_fake in fakes.items():
            if is_fake:
                raise ConfigError(
                    file,
                    key,
                    "a camera must not run on replayed or fake parts",
                    remedy='choose a real driver, or set device.kind = "desk"',
                )
    retention, power = settings.retention, settings.power
    if 0 < retention.spool_budget_bytes <= retention.slack_bytes:
        raise ConfigError(
            file,
            "retention.spool_budget_bytes",
            "not larger than retention.slack_bytes: the card would be full for ever",
            remedy="raise it, or lower retention.slack_bytes",
        )
    if power.stop_below_percent > power.warn_below_percent:
        raise ConfigError(
            file,
            "power.stop_below_percent",
            "larger than power.warn_below_percent: a session would end without a warning",
            remedy="lower it",
        )
    begin, _, end = settings.network.quiet_hours.partition("-")
    if begin and begin == end:
        raise ConfigError(
            file,
            "network.quiet_hours",
            "begin and end are the same",
            remedy='give two times, or "" for none',
        )
    if settings.uplink.window_cap_bytes < settings.uplink.part_bytes:
        raise ConfigError(
            file, "uplink.window_cap_bytes", "smaller than uplink.part_bytes", remedy="raise it"
        )
