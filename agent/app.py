"""Composition: how each service is put together. With `parts`, the only place that knows services
and drivers.

Imports are made where they are needed: a service must not carry the memory of what it does not
use (the recorder no ONNX Runtime, the uplink no codec).
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zmq

from agent import __version__
from agent.config import Settings
from agent.drivers.clock_system import SystemClock
from agent.errors import KeyFileError
from agent.ipc.notify import Notifier
from agent.parts import (
    build_accelerator,
    build_button,
    build_camera,
    build_card_reader,
    build_indicator,
    build_power,
    build_surroundings,
    build_thermal,
)
from agent.services.loop import Service, StopFlag, run_service
from agent.storage.state_lock import hold_lock
from agent.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from agent.ports.clock import Clock
    from agent.services.keyring import Keyring
    from agent.services.model_keeper import ModelKeeper
    from agent.services.tagger_model import TaggerModel
    from agent.wire.gate_report import GateReport

SERVICES = ("recorder", "tagger", "uplink")
LORES_RATE_HZ = 15.0
_DRAIN_S = 5.0

_log = logging.getLogger("agent")


def run_one(service: str, settings: Settings, config_file: Path) -> int:
    """Run one service until SIGTERM. Raises AgentError when it cannot begin."""
    stop = StopFlag()
    stop.install()
    if service != "tagger":  # it keeps nothing on the card
        hold_lock(settings.paths.state_dir, service)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        built = _BUILDERS[service](settings, context, config_file)
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
            argv=_own_command(config_file, service),
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


def load_configured_model(
    settings: Settings, first_span_id: int = 0, *, folder: Path | None = None, gate: str = ""
) -> TaggerModel:
    """Verify and load the configured bundle, or the one in `folder`; `gate` is what the gate said
    of it. Raises ModelError or AcceleratorError."""
    from agent.services.tagger_model import load_model
    from agent.storage.model_slots import active_folder

    folder = folder or settings.tagger.bundle or active_folder(settings.paths.state_dir)
    accelerator = build_accelerator(settings)
    model = load_model(folder, accelerator, __version__, first_span_id=first_span_id)
    model.provenance = msgspec.structs.replace(model.provenance, gate=gate)
    return model


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


def _recorder(
    settings: Settings, context: zmq.Context[zmq.Socket[bytes]], _config_file: Path
) -> Service:
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
        power=PowerGuard(build_power(settings, with_line=True), settings.power),
        governing=Governing(build_thermal(settings), settings.governor, clock),
        plans=PlanBook(
            settings.paths.state_dir,
            settings.device.device_id,
            trust=lambda: keyring.trust,
            clock=clock,
        ),
        hands=Hands(build_button(settings), build_indicator(settings), settings.button, clock),
    )


def _tagger(
    settings: Settings, context: zmq.Context[zmq.Socket[bytes]], config_file: Path
) -> Service:
    # BLAS threads would spin between frames: 30 % of a core for nothing (see ARCHITECTURE.md).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from agent.services.looker import Looker
    from agent.services.tagger import TaggerService

    keeper = None
    if settings.tagger.bundle is None:
        keeper = _model_keeper(settings, context, config_file)

    def load(first_span_id: int) -> TaggerModel:
        gate = "" if keeper is None else keeper.gate_line
        return load_configured_model(settings, first_span_id, gate=gate)

    return TaggerService(
        context,
        settings.paths.runtime_dir,
        load,
        SystemClock(),
        looker=Looker(build_card_reader(settings)),
        keeper=keeper,
    )


def _model_keeper(
    settings: Settings, context: zmq.Context[zmq.Socket[bytes]], config_file: Path
) -> ModelKeeper:
    from agent.services.gate_process import GateProcess
    from agent.services.model_gate import latency_limit_ms
    from agent.services.model_keeper import ModelKeeper
    from agent.services.standby_lease import StandbyLease
    from agent.storage.model_shelf import ModelShelf

    clock = SystemClock()
    gate_command = _own_command(config_file, "gate")
    return ModelKeeper(
        shelf=ModelShelf(settings.paths.state_dir),
        lease=StandbyLease(context, settings.paths.runtime_dir),
        start_gate=lambda folder: GateProcess(gate_command, folder),
        load=lambda folder, gate: load_configured_model(
            settings, clock.boot_ns(), folder=folder, gate=gate
        ),
        latency_limit_ms=lambda model: latency_limit_ms(model.manifest, settings.hardware),
        clock=clock,
        os_boot=clock.os_boot(),
    )


def run_gate(settings: Settings, folder: Path) -> GateReport:
    """What a bundle shows on this machine (see services.model_gate)."""
    from agent.services.model_gate import gate

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return gate(
        folder,
        build_accelerator(settings),
        agent_version=__version__,
        board=settings.hardware,
        wanted_backend=settings.tagger.accelerator,
    )


def _uplink(
    settings: Settings, context: zmq.Context[zmq.Socket[bytes]], config_file: Path
) -> Service:
    from agent.crypto.keys import load_public_key
    from agent.drivers.allocator import tune_allocator
    from agent.drivers.broker_paho import PahoBroker
    from agent.drivers.broker_socket import TlsFiles
    from agent.services.updater_process import UpdaterProcess
    from agent.services.uplink import Uplink, last_will
    from agent.storage.spool import Spool

    tune_allocator()
    uplink = settings.uplink
    no_updates = why_no_updates(settings)
    updater = _own_command(config_file, "update-models")
    broker = PahoBroker(
        host=uplink.host,
        port=uplink.port,
        client_id=settings.device.device_id,
        tls=TlsFiles(ca_file=uplink.ca_file, cert_file=uplink.cert_file, key_file=uplink.key_file),
        keepalive_s=uplink.keepalive_s,
        will=last_will(settings),
    )
    service = Uplink(
        broker=broker,
        clock=SystemClock(),
        spool=Spool(settings.paths.state_dir),
        settings=settings,
        receipt_keys=[load_public_key(settings.trust.receipt_key_file, "collector's receipt key")],
        surroundings=build_surroundings(settings),
        context=context,
        start_updater=None if no_updates else lambda: UpdaterProcess(updater),
    )
    if no_updates:
        _log.info("no model updates: %s", no_updates)
    return service


def why_no_updates(settings: Settings) -> str:
    """Why this camera takes no pushed models; "" when it does."""
    if settings.tagger.bundle is not None:
        return "tagger.bundle names a fixed model"
    if not settings.models.root_file.is_file():
        return f"no root of trust ({settings.models.root_file})"
    return ""


def update_models(settings: Settings, descriptor: int) -> int:
    """The updater (see services.model_update), for the uplink at the other end of `descriptor`."""
    from agent.crypto.update_trust import UpdateTrust
    from agent.ipc.framed import Framed
    from agent.ipc.update_messages import ToUpdater
    from agent.services.model_update import ModelUpdate, UplinkSource
    from agent.storage.model_shelf import ModelShelf

    os.nice(10)
    state_dir = settings.paths.state_dir
    root = read_root(settings.models.root_file)
    link = Framed(socket.socket(fileno=descriptor), ToUpdater)
    source = UplinkSource(link)
    update = ModelUpdate(
        settings,
        source=source,
        trust=UpdateTrust(state_dir / "tuf", root, source.metadata),
        shelf=ModelShelf(state_dir),
        clock=SystemClock(),
        agent_version=__version__,
        free_bytes=lambda: shutil.disk_usage(state_dir).free,
    )
    update.run()
    link.drain(_DRAIN_S)
    link.close()
    return 0


def read_root(file: Path) -> bytes:
    """Raises KeyFileError."""
    try:
        return file.read_bytes()
    except OSError as exc:
        raise KeyFileError(
            f"root of trust of pushed models: {file} cannot be read ({exc.strerror})",
            remedy="it is made by `sightline keys init`, and belongs into the image",
        ) from exc


def _own_command(config_file: Path, command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "agent", "--config", str(config_file.resolve()), command)


_BUILDERS = {"recorder": _recorder, "tagger": _tagger, "uplink": _uplink}
