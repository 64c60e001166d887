"""Composition: which service gets which driver. The only place that knows both.

Imports are made where they are needed: a service must not carry the memory of what it does not
use (the recorder no ONNX Runtime, the uplink no codec).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from agent import __version__
from agent.config import Settings
from agent.drivers.clock_system import SystemClock
from agent.ipc.notify import Notifier
from agent.services.loop import Service, StopFlag, run_service
from agent.storage.state_lock import hold_lock
from agent.supervisor import Program, Supervisor

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
    from agent.services.keyring import Keyring
    from agent.services.tagger_model import TaggerModel

SERVICES = ("recorder", "tagger", "uplink")
LORES_RATE_HZ = 15.0

_log = logging.getLogger("agent")


def run_one(service: str, settings: Settings) -> int:
    """Run one service until SIGTERM. Raises AgentError when it cannot begin."""
    stop = StopFlag()
    stop.install()
    if service != "tagger":  # it keeps nothing on the card
        hold_lock(settings.paths.state_dir, service)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        built = _BUILDERS[service](settings, context)
        run_service(built, Notifier(), stop, status=f"{service} running")
    finally:
        context.destroy(linger=0)
    return 0


def run_all(config_file: Path, settings: Settings) -> int:
    """Run the three services under one supervisor until SIGTERM; the recorder ends first, so that
    its last clip is labelled."""
    stop = StopFlag()
    stop.install()
    table = [
        Program(
            name=service,
            argv=(sys.executable, "-m", "agent", "--config", str(config_file.resolve()), service),
            watchdog_s=settings.supervisor.watchdog_s,
        )
        for service in SERVICES
    ]
    notifier = Notifier()
    supervisor = Supervisor(table, _log.warning)
    ready = False
    try:
        while not stop.is_set:
            supervisor.turn()
            notifier.alive()
            if not ready and supervisor.all_ready():
                ready = True
                _log.info("device %s: all services ready", settings.device.device_id)
                notifier.ready("all services ready")
    finally:
        supervisor.close()
    return 0


def build_encoder(settings: Settings) -> Encoder:
    """The encoder that `encoder.driver` names."""
    from agent.drivers.encoder_x264 import X264Encoder

    return X264Encoder(settings.encoder)


def build_camera(settings: Settings, clock: Clock, *, lores_rate_hz: float) -> Camera:
    """The camera that `camera.driver` names, not yet open."""
    from agent.drivers.camera_replay import ReplayCamera

    return ReplayCamera(
        settings.camera, clock, build_encoder(settings), lores_rate_hz=lores_rate_hz
    )


def build_power(settings: Settings) -> PowerSource | None:
    """What `power.driver` names; None for nothing."""
    if settings.power.driver == "none":
        return None
    from agent.drivers.power_sysfs import SysfsPower

    return SysfsPower(settings.power.supplies_dir)


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
    from agent.drivers.button_pipe import PipeButton

    return PipeButton(settings.paths.runtime_dir / "button.fifo")


def build_indicator(settings: Settings) -> Indicator | None:
    """The indicator that `indicator.driver` names, not yet open; None for none."""
    indicator = settings.indicator
    if indicator.driver == "none":
        return None
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


def load_configured_model(settings: Settings, first_span_id: int = 0) -> TaggerModel:
    """Verify and load the configured bundle. Raises ModelError or AcceleratorError."""
    from agent.services.tagger_model import load_model
    from agent.storage.model_slots import active_folder

    folder = settings.tagger.bundle or active_folder(settings.paths.state_dir)
    accelerator = build_accelerator(settings)
    return load_model(folder, accelerator, __version__, first_span_id=first_span_id)


@contextmanager
def open_model(settings: Settings) -> Iterator[TaggerModel]:
    """The configured model, loaded and verified, closed at the end."""
    model = load_configured_model(settings)
    try:
        yield model
    finally:
        model.close()


def load_keyring(settings: Settings, clock: Clock) -> Keyring:
    """The recorder's keys: those of the provisioning, and what orders made of them. Raises
    KeyFileError when a key file of the provisioning cannot be used."""
    from agent.crypto.keys import load_private_key, load_public_key, load_recipients
    from agent.crypto.trust import pinned
    from agent.services.keyring import Keyring

    trust = settings.trust
    receipt_key = load_public_key(trust.receipt_key_file, "collector's receipt key")
    card_keys = []
    if trust.card_key_file is not None:
        card_keys = [load_public_key(trust.card_key_file, "key of scenario cards")]
    recipients = [str(each) for each in load_recipients(trust.recipients_file)]
    return Keyring(
        settings.paths.state_dir,
        settings.device.device_id,
        pinned=pinned([receipt_key], recipients, card_keys),
        custody_key=load_private_key(trust.custody_key_file, "custody key"),
        clock=clock,
    )


def _recorder(settings: Settings, context: zmq.Context[zmq.Socket[bytes]]) -> Service:
    from agent.services.governing import Governing
    from agent.services.hands import Hands
    from agent.services.plan_book import PlanBook
    from agent.services.power_guard import PowerGuard
    from agent.services.recorder import Recorder
    from agent.storage.identity import next_boot

    clock = SystemClock()
    keyring = load_keyring(settings, clock)
    return Recorder(
        settings,
        camera=build_camera(settings, clock, lores_rate_hz=LORES_RATE_HZ),
        clock=clock,
        identity=next_boot(
            settings.paths.state_dir, random_bytes=os.urandom, os_boot=clock.os_boot()
        ),
        sealer=keyring.sealer,
        signer=keyring.signer,
        keyring=keyring,
        context=context,
        agent_version=__version__,
        power=PowerGuard(build_power(settings), settings.power),
        governing=Governing(build_thermal(settings), settings.governor, clock),
        plans=PlanBook(
            settings.paths.state_dir,
            settings.device.device_id,
            trust=lambda: keyring.trust,
            clock=clock,
        ),
        hands=Hands(build_button(settings), build_indicator(settings), settings.button, clock),
    )


def _tagger(settings: Settings, context: zmq.Context[zmq.Socket[bytes]]) -> Service:
    # BLAS threads would spin between frames: 30 % of a core for nothing (see ARCHITECTURE.md).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from agent.services.looker import Looker
    from agent.services.tagger import TaggerService

    return TaggerService(
        context,
        settings.paths.runtime_dir,
        lambda first_span_id: load_configured_model(settings, first_span_id),
        SystemClock(),
        Looker(build_card_reader(settings)),
    )


def _uplink(settings: Settings, context: zmq.Context[zmq.Socket[bytes]]) -> Service:
    from agent.crypto.keys import load_public_key
    from agent.drivers.allocator import tune_allocator
    from agent.drivers.broker_paho import PahoBroker
    from agent.drivers.broker_socket import TlsFiles
    from agent.services.uplink import Uplink, last_will
    from agent.storage.spool import Spool

    tune_allocator()
    uplink = settings.uplink
    broker = PahoBroker(
        host=uplink.host,
        port=uplink.port,
        client_id=settings.device.device_id,
        tls=TlsFiles(ca_file=uplink.ca_file, cert_file=uplink.cert_file, key_file=uplink.key_file),
        keepalive_s=uplink.keepalive_s,
        will=last_will(settings),
    )
    return Uplink(
        broker=broker,
        clock=SystemClock(),
        spool=Spool(settings.paths.state_dir),
        settings=settings,
        receipt_keys=[load_public_key(settings.trust.receipt_key_file, "collector's receipt key")],
        surroundings=build_surroundings(settings),
        context=context,
    )


_BUILDERS = {"recorder": _recorder, "tagger": _tagger, "uplink": _uplink}
