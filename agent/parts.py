"""Which driver serves which port, by the names in the settings.

Imports are made where they are needed: a service must not carry the memory of what it does not
use (the recorder no ONNX Runtime, the uplink no codec).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import Settings

if TYPE_CHECKING:
    from agent.core.indication_table import Output
    from agent.drivers.surroundings_linux import LinuxSurroundings
    from agent.ports.accelerator import Accelerator
    from agent.ports.button import Button
    from agent.ports.camera import Camera
    from agent.ports.card_reader import CardReader
    from agent.ports.clock import Clock
    from agent.ports.encoder import Encoder
    from agent.ports.indicator import Indicator
    from agent.ports.power import PowerSource
    from agent.ports.thermal import ThermalSensor


def build_encoder(settings: Settings) -> Encoder:
    """libx264, for a camera that does not encode by itself (`encoder.driver = "x264"`)."""
    from agent.drivers.encoder_x264 import X264Encoder

    return X264Encoder(settings.encoder)


def build_camera(settings: Settings, clock: Clock, *, lores_rate_hz: float) -> Camera:
    """The camera that `camera.driver` names, not yet open."""
    camera, encoder = settings.camera, settings.encoder
    if camera.driver == "gstreamer":
        from agent.drivers.camera_gstreamer import GStreamerCamera

        return GStreamerCamera(camera, encoder, clock, lores_rate_hz=lores_rate_hz)
    own = build_encoder(settings)
    if camera.driver == "picamera2":
        from agent.drivers.camera_picamera2 import Picamera2Camera

        return Picamera2Camera(
            camera,
            encoder,
            clock,
            own if encoder.driver == "x264" else None,
            lores_rate_hz=lores_rate_hz,
        )
    from agent.drivers.camera_replay import ReplayCamera

    return ReplayCamera(camera, clock, own, lores_rate_hz=lores_rate_hz)


def build_power(settings: Settings, *, with_line: bool = False) -> PowerSource | None:
    """What `power.driver` names; None for nothing. `with_line`: the GPIO line of
    `power.failing_line` too, which one program alone can have."""
    power = settings.power
    sources: list[PowerSource] = []
    if power.driver == "sysfs":
        from agent.drivers.power_sysfs import SysfsPower

        sources.append(SysfsPower(power.supplies_dir))
    if with_line and power.failing_line:
        from agent.drivers.power_gpiod import GpiodPower

        sources.append(
            GpiodPower(
                chip=power.failing_chip,
                line=power.failing_line,
                active_low=power.failing_active_low,
                bias=power.failing_bias,
            )
        )
    if len(sources) < 2:
        return sources[0] if sources else None
    from agent.drivers.power_several import SeveralPower

    return SeveralPower(sources)


def build_thermal(settings: Settings, sys_dir: Path = Path("/sys")) -> ThermalSensor | None:
    """What `governor.driver` names; None for nothing."""
    if settings.governor.driver == "none":
        return None
    from agent.drivers.thermal_sysfs import SysfsThermal

    return SysfsThermal(sys_dir)


def build_button(settings: Settings) -> Button | None:
    """The button that `button.driver` names, not yet open; None for none."""
    if settings.button.driver == "none":
        return None
    button = settings.button
    if button.driver == "gpiod":
        from agent.drivers.button_gpiod import GpiodButton

        return GpiodButton(
            chip=button.chip,
            line=button.line,
            active_low=button.active_low,
            bias=button.bias,
            debounce_s=button.debounce_s,
        )
    if button.driver == "evdev":
        from agent.drivers.button_evdev import EvdevButton

        return EvdevButton(device=button.device, key=button.key)
    from agent.drivers.button_pipe import PipeButton

    return PipeButton(settings.paths.runtime_dir / "button.fifo")


def build_indicator(settings: Settings) -> Indicator | None:
    """The indicator that `indicator.driver` names, not yet open; None for none."""
    indicator = settings.indicator
    if indicator.driver == "none":
        return None
    if indicator.driver == "gpiod":
        from agent.drivers.indicator_gpiod import GpiodIndicator

        return GpiodIndicator(
            chip=indicator.chip, lines=_outputs(settings), active_low=indicator.active_low
        )
    from agent.drivers.indicator_sysfs import SysfsIndicator

    return SysfsIndicator(indicator.leds_dir, _outputs(settings))


def _outputs(settings: Settings) -> dict[Output, str]:
    """The outputs that `[indicator]` names."""
    indicator = settings.indicator
    named: dict[Output, str] = {
        "red": indicator.red,
        "green": indicator.green,
        "motor": indicator.motor,
    }
    return {output: name for output, name in named.items() if name}


def build_surroundings(settings: Settings) -> LinuxSurroundings:
    """What `[network]` is judged by. The power supply is asked only where a rule needs it: its
    hardware may be slow."""
    from agent.drivers.surroundings_linux import LinuxSurroundings

    network = settings.network
    return LinuxSurroundings(
        settings.uplink.host,
        network.metered_interfaces,
        power=build_power(settings) if network.only_when_charging else None,
    )


def build_accelerator(settings: Settings) -> Accelerator:
    """The accelerator that `tagger.accelerator` names, not yet open."""
    tagger = settings.tagger
    if tagger.accelerator == "fake":
        from agent.drivers.accelerator_fake import FakeAccelerator

        return FakeAccelerator()
    if tagger.accelerator in ("tflite", "edgetpu"):
        from agent.drivers.accelerator_tflite import EDGE_TPU, TfliteAccelerator

        on_edge_tpu = tagger.accelerator == "edgetpu"
        return TfliteAccelerator(
            backend=tagger.accelerator,
            delegate=tagger.delegate or (EDGE_TPU if on_edge_tpu else ""),
            delegate_options=tagger.delegate_options,
            threads=tagger.threads,
            allow_cpu=tagger.allow_cpu,
        )
    from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator

    return OnnxRuntimeAccelerator(
        tagger.providers,
        tagger.threads,
        provider_options=tagger.provider_options,
        allow_cpu=tagger.allow_cpu,
    )


def build_card_reader(settings: Settings) -> CardReader | None:
    """What reads scenario cards; None when `cards.read` is off."""
    if not settings.cards.read:
        return None
    from agent.drivers.card_reader_opencv import OpenCvCardReader

    return OpenCvCardReader()
