"""Composition: reads the keys, opens the store, and puts the collector together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import msgspec

from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key
from agent.errors import KeyFileError
from agent.ports.broker import Broker
from collector.admission import Admission
from collector.answers import Answers, Notary
from collector.catalogue import Catalogue
from collector.completion import Completion
from collector.config import CollectorSettings
from collector.courier import Courier
from collector.custody_keys import CustodyRegister
from collector.depot import Depot
from collector.finishing import Finisher, reconcile
from collector.ingest import Beside, Ingest
from collector.ongoing import OngoingClips
from collector.orders import ORDERS_DIR
from collector.refusing import Refuser
from collector.report import Report
from collector.serving import TargetServer
from collector.store import Store
from collector.unsealing import Unsealer, load_identities
from collector.verification import DeviceKeys
from collector.workers import Finished, ThreadWorker, Worker

MakeWorker = Callable[[str, Finished], Worker]


class LoadedKeys(msgspec.Struct, frozen=True):
    """What opens footage, and what signs receipts."""

    unsealer: Unsealer
    signer: Signer


def load_keys(settings: CollectorSettings) -> LoadedKeys:
    """Raises KeyFileError: a file missing or of the wrong kind, or no folder of device keys."""
    keys = settings.keys
    loaded = LoadedKeys(
        Unsealer(load_identities(keys.age_identity_files)),
        Signer(load_private_key(keys.receipt_key_file, "collector's receipt key")),
    )
    if not keys.devices_dir.is_dir():
        raise KeyFileError(
            f"devices' custody keys: {keys.devices_dir} is no folder",
            remedy="make it, with <device_id>/custody-*.pem for each device, or correct"
            " keys.devices_dir",
        )
    return loaded


def make_ingest(
    settings: CollectorSettings,
    keys: LoadedKeys,
    broker: Broker,
    report: Report,
    *,
    make_worker: MakeWorker = ThreadWorker,
    now_s: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Ingest:
    """The collector over `broker`. Raises StoreError when store or catalogue cannot be used."""
    store = Store(settings.collector.store_dir)
    catalogue, stored = _open_catalogue(store, report)
    group = _group_name(settings, store)
    notary = Notary(keys.signer, settings.collector.name, wall_ns)
    refuser = Refuser(store, catalogue, notary, report)
    clips = OngoingClips(settings.transfer, is_shared=bool(group))
    answers, finished = Answers(broker, notary.renewed), Finished()
    keys_of = DeviceKeys(settings.keys.devices_dir, report.line)
    admission = Admission(
        name=settings.collector.name,
        store=store,
        catalogue=catalogue,
        clips=clips,
        keys_of=keys_of,
        unsealer=keys.unsealer,
        refuser=refuser,
        limits=settings.transfer,
        min_free_bytes=settings.collector.min_free_bytes,
        report=report,
    )
    syncer = make_worker("sync", finished)
    completion = Completion(
        answers=answers,
        clips=clips,
        catalogue=catalogue,
        finisher=Finisher(store, stored, notary),
        refuser=refuser,
        unsealer=keys.unsealer,
        syncer=syncer,
        opener=make_worker("open", finished),
        storer=make_worker("store", finished),
        report=report,
        now_s=now_s,
    )
    return Ingest(
        broker=broker,
        answers=answers,
        admission=admission,
        completion=completion,
        clips=clips,
        beside=_beside(settings, broker, store, keys_of, report),
        syncer=syncer,
        finished=finished,
        report=report,
        now_s=now_s,
        group=group,
        on_ready=Ready(report, settings).say_once,
        on_close=(catalogue.close, stored.close),
    )


def _beside(
    settings: CollectorSettings, broker: Broker, store: Store, keys_of: DeviceKeys, report: Report
) -> Beside:
    """What is not clips: orders and custody keys, what admins push, what cameras pull."""
    register = CustodyRegister(settings.keys.devices_dir, keys_of, report)
    depot = Depot(broker, store, settings.collector.min_free_bytes, report)
    return Beside(
        courier=Courier(broker, store.root / ORDERS_DIR, register, report),
        depot=depot,
        server=TargetServer(broker, depot, report),
    )


def _open_catalogue(store: Store, report: Report) -> tuple[Catalogue, Catalogue]:
    """The catalogue, true to the store, by one connection for each thread: the main thread asks,
    the storing worker writes."""
    store.prepare()
    with store.opening():  # SQLite makes a new file for one program at a time
        catalogue = Catalogue(store.catalogue_file)
    added = reconcile(store, catalogue, report.line)
    if added:
        report.line(f"took {added} stored clips into the catalogue")
    return catalogue, Catalogue(store.catalogue_file)


def _group_name(settings: CollectorSettings, store: Store) -> str:
    """The group's name on the broker, or "". Whoever knows it can take messages from the group
    (Mosquitto asks nobody who joins): so it ends in a word that only this store's collectors know.
    """
    shared = settings.collector.shared_group
    return f"{shared}-{store.group_word(secrets.token_hex)}" if shared else ""


class Ready:
    """Says once, for whoever started us, that clips can come."""

    def __init__(self, report: Report, settings: CollectorSettings) -> None:
        self._report = report
        self._settings = settings
        self._said = False

    def say_once(self) -> None:
        broker, own = self._settings.broker, self._settings.collector
        where = f"{broker.host}:{broker.port}"
        self._report.line(f"connected to {where}")
        if not self._said:
            self._said = True
            store = str(own.store_dir.absolute())
            self._report.event("ready", collector=own.name, broker=where, store=store)
